// Two accounts: the app's own, and the one that guests may reach. No guest has a way to the app's tables and
// queues. Shared keys are off in both: there is no key to lose.

param appAccount string
param guestAccount string
param location string
param tags object
param privateNetworking bool

// What is in them is said in one place, and a test compares it with the code.
var contents = loadJsonContent('../storage.json')

var properties = {
  accessTier: 'Hot'
  allowBlobPublicAccess: false
  allowCrossTenantReplication: false
  allowSharedKeyAccess: false
  defaultToOAuthAuthentication: true
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
  networkAcls: { bypass: 'None', defaultAction: privateNetworking ? 'Deny' : 'Allow' }
}

resource app 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: appAccount
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: properties

  resource blobs 'blobServices' = {
    name: 'default'
    resource deployments 'containers' = {
      name: 'deployments'
      properties: { publicAccess: 'None' }
    }
  }

  resource queues 'queueServices' = {
    name: 'default'
    resource queue 'queues' = [for name in contents.queues: { name: name }]
  }

  resource tables 'tableServices' = {
    name: 'default'
    resource table 'tables' = [for name in contents.tables: { name: name }]
  }
}

resource guests 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: guestAccount
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: properties

  resource blobs 'blobServices' = {
    name: 'default'
    resource container 'containers' = [
      for name in contents.guestContainers: { name: name, properties: { publicAccess: 'None' } }
    ]
  }

  resource queues 'queueServices' = {
    name: 'default'
    resource queue 'queues' = [for name in contents.guestQueues: { name: name }]
  }
}

output appAccountName string = app.name
output guestAccountName string = guests.name
output guestQueueEndpoint string = guests.properties.primaryEndpoints.queue
output deploymentContainerUrl string = '${app.properties.primaryEndpoints.blob}${app::blobs::deployments.name}'
