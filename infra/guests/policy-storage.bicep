// What the policy's identity may do at the guests' storage: make a VM's command queue, and give two roles, to
// identities of VMs, and no others. It can read and write no message.

param principalId string
param guestAccountName string

@description('Whose VMs the policy is about; part of the name of the role.')
param protectedSubscription string

// Azure's own roles: the one that gives roles, and the two that may be given.
var accessAdministrator = 'f58310d9-a9f6-439a-9e8d-f62e7b41a168' // Role Based Access Control Administrator
var messageProcessor = '8a0f0c08-91a1-4084-bc3d-661d67233fed' // Storage Queue Data Message Processor
var messageSender = 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a' // Storage Queue Data Message Sender
var given = '${messageProcessor}, ${messageSender}'

// What it gives is one of the two, and to an identity; what it takes away is one of the two.
var attribute = 'Microsoft.Authorization/roleAssignments'
var oneOfTwo = ':RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${given}}'
var toIdentity = ':PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {\'ServicePrincipal\'}'
var gives = '(@Request[${attribute}${oneOfTwo} AND @Request[${attribute}${toIdentity})'
var takes = '(@Resource[${attribute}${oneOfTwo})'
var whenGiving = '((!(ActionMatches{\'${attribute}/write\'})) OR ${gives})'
var whenTaking = '((!(ActionMatches{\'${attribute}/delete\'})) OR ${takes})'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: guestAccountName
}

resource queueMaker 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'stillframe-queue-maker', protectedSubscription)
  properties: {
    roleName: 'Stillframe queue maker (${protectedSubscription})'
    description: 'Make the command queues of VMs in the guests\' storage; for the policy that installs the agent.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.Storage/storageAccounts/queueServices/queues/read'
          'Microsoft.Storage/storageAccounts/queueServices/queues/write' // no right on a queue that is not there
          'Microsoft.Resources/deployments/read'
          'Microsoft.Resources/deployments/write' // the policy's template deploys into this group
          'Microsoft.Resources/deployments/operationStatuses/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource mayMakeQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, principalId, 'stillframe-queue-maker')
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: queueMaker.id }
}

resource mayGiveTwoRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, principalId, accessAdministrator)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', accessAdministrator)
    conditionVersion: '2.0'
    condition: '${whenGiving} AND ${whenTaking}'
  }
}
