// Private endpoints of both accounts (blob, queue, table) and of the vault, with the names that lead to them.

param location string
param tags object
param subnetId string
param networkId string
param appAccountName string
param guestAccountName string
param vaultName string

var suffix = environment().suffixes.storage
var zones = {
  blob: 'privatelink.blob.${suffix}'
  queue: 'privatelink.queue.${suffix}'
  table: 'privatelink.table.${suffix}'
  vault: 'privatelink.vaultcore.azure.net'
}

var accounts = 'Microsoft.Storage/storageAccounts'
var reached = [
  { name: '${appAccountName}-blob', id: resourceId(accounts, appAccountName), kind: 'blob' }
  { name: '${appAccountName}-queue', id: resourceId(accounts, appAccountName), kind: 'queue' }
  { name: '${appAccountName}-table', id: resourceId(accounts, appAccountName), kind: 'table' }
  { name: '${guestAccountName}-blob', id: resourceId(accounts, guestAccountName), kind: 'blob' }
  { name: '${guestAccountName}-queue', id: resourceId(accounts, guestAccountName), kind: 'queue' }
  { name: vaultName, id: resourceId('Microsoft.KeyVault/vaults', vaultName), kind: 'vault' }
]

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for each in items(zones): { name: each.value, location: 'global', tags: tags }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (each, index) in items(zones): {
    parent: zone[index]
    name: 'stillframe'
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: networkId } }
  }
]

resource endpoint 'Microsoft.Network/privateEndpoints@2025-09-01' = [
  for each in reached: {
    name: 'pe-${each.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        { name: each.name, properties: { privateLinkServiceId: each.id, groupIds: [each.kind] } }
      ]
    }
  }
]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-09-01' = [
  for (each, index) in reached: {
    parent: endpoint[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        { name: each.kind, properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zones[each.kind]) } }
      ]
    }
    dependsOn: [zone]
  }
]
