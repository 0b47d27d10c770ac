// Puts the agent into tagged VMs of a subscription: `stillframe-agent = install`, unless another tag is named. Gives
// each of them a system-assigned identity, gives that identity its two rights in the guests' storage, and the VM the
// application. Deploy it to each subscription with VMs to protect; the storage may lie in another one.

targetScope = 'subscription'

@description('Where the assignment keeps its identity; any region.')
param location string

@description('The tag that a VM has which is to get the agent, and its value.')
param tagName string = 'stillframe-agent'
param tagValue string = 'install'

@description('The guests\' storage account of the app, as a resource id.')
param guestAccountId string

@description('The versions of the VM Applications to install, as resource ids (outputs of gallery.bicep).')
param linuxVersionId string
param windowsVersionId string = ''

@description('AuditIfNotExists looks only: the first thing to try. Then DeployIfNotExists.')
@allowed(['DeployIfNotExists', 'AuditIfNotExists', 'Disabled'])
param effect string = 'AuditIfNotExists'

// Azure's own roles.
var virtualMachineContributor = '9980e02c-c2be-4d73-94e8-173b1dc7cf3c' // identity and application of a VM, deployments
var managedIdentityOperator = 'f1a07417-d97a-45cb-824c-7a7467783830' // a VM that keeps its user-assigned identities

var account = split(guestAccountId, '/')
var gallery = split(linuxVersionId, '/')
var none = loadJsonContent('policy-identity-none.json')
var user = loadJsonContent('policy-identity-user.json')
var agent = loadJsonContent('policy-agent.json')

resource identityNone 'Microsoft.Authorization/policyDefinitions@2023-04-01' = {
  name: 'stillframe-identity-none'
  properties: none
}

resource identityUser 'Microsoft.Authorization/policyDefinitions@2023-04-01' = {
  name: 'stillframe-identity-user'
  properties: user
}

resource installed 'Microsoft.Authorization/policyDefinitions@2023-04-01' = {
  name: 'stillframe-agent'
  properties: agent
}

var tag = { tagName: { value: tagName }, tagValue: { value: tagValue } }
var change = { effect: { value: effect == 'DeployIfNotExists' ? 'Modify' : 'Disabled' } }

resource all 'Microsoft.Authorization/policySetDefinitions@2023-04-01' = {
  name: 'stillframe-guests'
  properties: {
    displayName: 'Stillframe: the guest agent on tagged VMs'
    policyType: 'Custom'
    policyDefinitions: [
      {
        policyDefinitionId: identityNone.id
        policyDefinitionReferenceId: 'identity-none'
        parameters: union(tag, change)
      }
      {
        policyDefinitionId: identityUser.id
        policyDefinitionReferenceId: 'identity-user'
        parameters: union(tag, change)
      }
      {
        policyDefinitionId: installed.id
        policyDefinitionReferenceId: 'agent'
        parameters: union(tag, {
          effect: { value: effect }
          guestAccountId: { value: guestAccountId }
          linuxVersionId: { value: linuxVersionId }
          windowsVersionId: { value: windowsVersionId }
        })
      }
    ]
  }
}

resource assignment 'Microsoft.Authorization/policyAssignments@2023-04-01' = {
  name: 'stillframe-guests'
  location: location
  identity: { type: 'SystemAssigned' }
  properties: { policyDefinitionId: all.id, displayName: 'Stillframe: the guest agent on tagged VMs' }
}

resource onMachines 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [virtualMachineContributor, managedIdentityOperator]: {
    name: guid(subscription().id, assignment.id, role)
    properties: {
      principalId: assignment.identity.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

module onStorage 'policy-storage.bicep' = {
  name: 'stillframe-policy-storage-${uniqueString(subscription().id)}'
  scope: resourceGroup(account[2], account[4])
  params: {
    principalId: assignment.identity.principalId
    guestAccountName: account[8]
    protectedSubscription: subscription().subscriptionId
  }
}

module onGallery 'policy-gallery.bicep' = {
  name: 'stillframe-policy-gallery-${uniqueString(subscription().id)}'
  scope: resourceGroup(gallery[2], gallery[4])
  params: { principalId: assignment.identity.principalId, galleryName: gallery[8] }
}

output principalId string = assignment.identity.principalId
