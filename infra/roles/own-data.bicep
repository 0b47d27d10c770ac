// What the app may do with its two storage accounts.

param principalId string
param appAccountName string
param guestAccountName string

var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var blobDelegator = 'db58b8e5-c6ad-4a2a-8342-4190687cbf4a'
var queueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var queueDelegator = '7ee386e9-84f0-448e-80a6-f185f6533131'
var tableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'

var onApp = [
  blobDataOwner // the host: its locks, keys and timers, and the package that is deployed
  queueDataContributor // the host polls its triggers, the app sends and takes back
  tableDataContributor // runs, sagas, policies
]
var onGuests = [
  queueDataContributor // makes a command queue per VM, and takes the acks
  queueDelegator // signs what a guest without an identity opens its queues with
  blobDataContributor // long scripts
  blobDelegator // signs what a guest reads its script with
]

resource app 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: appAccountName }
resource guests 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: guestAccountName }

resource forApp 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in onApp: {
    scope: app
    name: guid(app.id, principalId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource forGuests 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in onGuests: {
    scope: guests
    name: guid(guests.id, principalId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]
