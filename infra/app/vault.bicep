// The vault has the master secret that all keys of guests derive from, and secrets of webhooks.
// The master secret is made by the first deployment and never again: later ones leave it as it is.

param name string
param location string
param tags object
param privateNetworking bool
param readerPrincipalId string
param operatorId string

@description('64 random hex digits; only the first deployment stores them.')
@secure()
param masterKey string = replace('${newGuid()}${newGuid()}', '-', '')

var secretsUser = '4633458b-17de-408a-874b-0445c86b69e6'
var secretsOfficer = 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true // a lost master secret is a new installation of every agent
    softDeleteRetentionInDays: 90
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    networkAcls: { bypass: 'AzureServices', defaultAction: privateNetworking ? 'Deny' : 'Allow' }
  }
}

@onlyIfNotExists()
resource master 'Microsoft.KeyVault/vaults/secrets@2026-02-01' = {
  parent: vault
  name: 'stillframe-master-key'
  properties: { value: masterKey, contentType: '64 hex digits' }
}

resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, readerPrincipalId, secretsUser)
  properties: {
    principalId: readerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

resource officer 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorId)) {
  scope: vault
  name: guid(vault.id, operatorId, secretsOfficer)
  properties: {
    principalId: operatorId
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsOfficer)
  }
}

output name string = vault.name
output uri string = vault.properties.vaultUri
output masterKeyUri string = '${vault.properties.vaultUri}secrets/${master.name}'
