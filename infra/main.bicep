// Stillframe on Azure, read from top to bottom: what can be chosen, the app's own group and who the app is, what it
// runs on, what it may do, what watches over it. No key is in here: the app opens its storage by its identity alone.

targetScope = 'subscription'

// ----- what can be chosen

@description('Names the environment; part of the names of the group and of the roles.')
@minLength(1)
@maxLength(20)
param environmentName string

@description('Where the app and its storage lie: the region of most of the VMs, so that the freeze window is short.')
param location string

@description('Resource groups, or whole subscriptions, with VMs to protect, as resource ids.')
param sources array = []

@description('Resource groups or subscriptions that snapshots go to, as resource ids. None: where the VMs are.')
param targets array = []

@description('Whether the app may start agents by run command: root in the guest. Not needed where agents are resident.')
param runCommands bool = true

@description('Whether policies copy snapshots to other regions, for which the app needs a role of its own.')
param regionCopies bool = false

@description('MB of memory of an instance.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('How many instances there may be at most.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 100

@description('Whether policies have groups of VMs: one more function is then always ready.')
param groups bool = false

@description('Whether storage and vault are reached by private endpoints alone, the app through a network of its own.')
param privateNetworking bool = false

@description('The address space of that network: a /24 or larger that nothing routed here uses.')
param addressSpace string = '10.200.0.0/24'

@description('Who is told when something is wrong: mail addresses.')
param alertEmails array = []

@description('Names of the secrets of webhooks that policies may name; their values lie in the vault.')
param webhookSecrets array = []

@description('Networks that webhooks may reach although they are not public, as 10.1.0.0/16,10.2.0.0/16.')
param webhookNetworks string = ''

@description('Where guests that are not set up yet get the agent from: an https URL of agent.pyz.')
param agentUrl string = ''

@description('The SHA-256 of that agent.pyz (64 small hex digits), without which nothing is installed.')
param agentSha256 string = ''

@description('Which of the keys that derive from the master secret VMs use: raise it to change all of them.')
@minValue(1)
param keyVersion int = 1

@description('Whether the app sends metrics and spans of its own; its package needs azure-monitor-opentelemetry for it.')
param workerTelemetry bool = false

@description('Who may write the secrets of webhooks into the vault: an object id. Empty: nobody.')
param operatorId string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName, application: 'stillframe' }

// ----- the app's own group, and who the app is

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-stillframe-${environmentName}'
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { name: 'id-stillframe-${token}', location: location, tags: tags }
}

// ----- what the app runs on

module network 'app/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: group
  params: { name: 'vnet-stillframe-${token}', location: location, tags: tags, addressSpace: addressSpace }
}

module storage 'app/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    appAccount: 'stsf${token}'
    guestAccount: 'stsfg${token}'
    location: location
    tags: tags
    privateNetworking: privateNetworking
  }
}

module vault 'app/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: 'kv-sf-${token}'
    location: location
    tags: tags
    privateNetworking: privateNetworking
    readerPrincipalId: identity.outputs.principalId
    operatorId: operatorId
  }
}

module endpoints 'app/endpoints.bicep' = if (privateNetworking) {
  name: 'endpoints'
  scope: group
  params: {
    location: location
    tags: tags
    subnetId: privateNetworking ? network!.outputs.endpointsSubnetId : ''
    networkId: privateNetworking ? network!.outputs.networkId : ''
    appAccountName: storage.outputs.appAccountName
    guestAccountName: storage.outputs.guestAccountName
    vaultName: vault.outputs.name
  }
}

module monitoring 'watch/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspace: 'log-stillframe-${token}'
    component: 'appi-stillframe-${token}'
    location: location
    tags: tags
    publisherPrincipalId: identity.outputs.principalId
  }
}

module app 'app/function.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: 'func-stillframe-${token}'
    plan: 'plan-stillframe-${token}'
    location: location
    tags: union(tags, { 'azd-service-name': 'app' })
    identityId: identity.outputs.id
    clientId: identity.outputs.clientId
    appAccountName: storage.outputs.appAccountName
    guestAccountName: storage.outputs.guestAccountName
    deploymentContainerUrl: storage.outputs.deploymentContainerUrl
    masterKeyUri: vault.outputs.masterKeyUri
    keyVersion: keyVersion
    vaultUri: vault.outputs.uri
    webhookSecrets: webhookSecrets
    webhookNetworks: webhookNetworks
    insightsName: monitoring.outputs.componentName
    workerTelemetry: workerTelemetry
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    groups: groups
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    agentUrl: agentUrl
    agentSha256: agentSha256
  }
  dependsOn: [ownData, endpoints] // its first start needs both
}

// ----- what the app may do

module ownData 'roles/own-data.bicep' = {
  name: 'own-data'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    appAccountName: storage.outputs.appAccountName
    guestAccountName: storage.outputs.guestAccountName
  }
}

// '/subscriptions/<id>' of every source and target, and which of them are whole subscriptions.
var around = map(concat(sources, targets), id => '/subscriptions/${toLower(split(id, '/')[2])}')
var home = toLower(subscription().id)
var subscriptions = union([home], around)
var ofGroup = '/resourcegroups/'
var sourceGroups = filter(sources, id => contains(toLower(id), ofGroup))
var sourceSubscriptions = filter(sources, id => !contains(toLower(id), ofGroup))
var targetGroups = filter(targets, id => contains(toLower(id), ofGroup))
var targetSubscriptions = filter(targets, id => !contains(toLower(id), ofGroup))

module roles 'roles/definitions.bicep' = {
  name: 'stillframe-roles'
  params: { environmentName: environmentName, subscriptions: subscriptions }
}

var principalId = identity.outputs.principalId
var onTargets = [roles.outputs.target, regionCopies ? roles.outputs.regionCopy : '']
var onSources = concat(
  [roles.outputs.source, runCommands ? roles.outputs.agentStart : ''],
  empty(targets) ? onTargets : []
)

module inSourceGroups 'roles/in-group.bicep' = [
  for id in sourceGroups: {
    name: 'stillframe-source-${uniqueString(id)}'
    scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
    params: { principalId: principalId, roles: onSources }
  }
]

module inSourceSubscriptions 'roles/in-subscription.bicep' = [
  for id in sourceSubscriptions: {
    name: 'stillframe-source-${uniqueString(id)}'
    scope: subscription(split(id, '/')[2])
    params: { principalId: principalId, roles: onSources }
  }
]

module inTargetGroups 'roles/in-group.bicep' = [
  for id in targetGroups: {
    name: 'stillframe-target-${uniqueString(id)}'
    scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
    params: { principalId: principalId, roles: onTargets }
  }
]

module inTargetSubscriptions 'roles/in-subscription.bicep' = [
  for id in targetSubscriptions: {
    name: 'stillframe-target-${uniqueString(id)}'
    scope: subscription(split(id, '/')[2])
    params: { principalId: principalId, roles: onTargets }
  }
]

module inAllSubscriptions 'roles/in-subscription.bicep' = [
  for id in union(around, []): {
    name: 'stillframe-operations-${uniqueString(id)}'
    scope: subscription(split(id, '/')[2])
    params: { principalId: principalId, roles: [roles.outputs.operations] }
  }
]

// ----- what watches over it

module alerts 'watch/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    emails: alertEmails
  }
}

module workbook 'watch/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: { location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP string = app.outputs.name
output STILLFRAME_URL string = app.outputs.url
output STILLFRAME_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output STILLFRAME_VAULT string = vault.outputs.name
output STILLFRAME_GUEST_QUEUES string = storage.outputs.guestQueueEndpoint
