// The app itself, on Flex Consumption.

param name string
param plan string
param location string
param tags object
param identityId string
param clientId string
param appAccountName string
param guestAccountName string
param deploymentContainerUrl string
param masterKeyUri string
param keyVersion int
param vaultUri string
param webhookSecrets array
param webhookNetworks string
param insightsName string
param workerTelemetry bool
param instanceMemoryMB int
param maximumInstanceCount int
param groups bool
param subnetId string
param agentUrl string
param agentSha256 string

// What is waited for while a guest is held, and what people wait for.
var ready = ['function:agent_ack', 'function:saga_step', 'http']
var readyForGroups = ['function:group_message'] // members of a group are held until all of them have heard

resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

var storageSuffix = environment().suffixes.storage
var settings = {
  AzureWebJobsStorage__accountName: appAccountName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: clientId
  GuestStorage__accountName: guestAccountName
  GuestStorage__queueServiceUri: 'https://${guestAccountName}.queue.${storageSuffix}'
  GuestStorage__blobServiceUri: 'https://${guestAccountName}.blob.${storageSuffix}'
  GuestStorage__credential: 'managedidentity'
  GuestStorage__clientId: clientId
  AZURE_CLIENT_ID: clientId
  STILLFRAME_MASTER_KEY: '@Microsoft.KeyVault(SecretUri=${masterKeyUri})'
  STILLFRAME_KEY_VERSION: string(keyVersion)
  STILLFRAME_ARM_ENDPOINT: environment().resourceManager
  STILLFRAME_AGENT_URL: agentUrl
  STILLFRAME_AGENT_SHA256: agentSha256
  STILLFRAME_WEBHOOK_NETWORKS: webhookNetworks
  STILLFRAME_SCHEDULES_TIMER: '0 * * * * *'
  STILLFRAME_SWEEP_TIMER: '30 * * * * *'
  STILLFRAME_RETENTION_TIMER: '0 15 * * * *'
  STILLFRAME_RECONCILIATION_TIMER: '0 45 4 * * *'
  STILLFRAME_HOUSEKEEPING_TIMER: '0 25 * * * *'
  STILLFRAME_KEEP_RUNS_DAYS: '400'
  STILLFRAME_DRAIN: 'false'
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
  FUNCTIONS_ENABLE_DRAIN_ON_APP_STOPPING: 'true'
}

// The worker then sends logs, metrics and spans by itself. Without its package the host sends the logs.
var telemetry = workerTelemetry ? { PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true' } : {}

// A policy names a webhook's secret; the host reads its value from the vault, where names have no underscores.
var secrets = toObject(
  webhookSecrets,
  secret => 'STILLFRAME_WEBHOOK_SECRET_${toUpper(secret)}',
  secret => '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/webhook-${replace(secret, '_', '-')})'
)

resource flex 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: plan
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: flex.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      http20Enabled: true
      appSettings: map(items(union(settings, telemetry, secrets)), setting => { name: setting.key, value: setting.value })
    }
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: map(concat(ready, groups ? readyForGroups : []), name => { name: name, instanceCount: 1 })
      }
    }
  }
}

// Publishing by user name and password is off; `azd deploy` and the workflow use an identity.
resource noPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = [
  for way in ['ftp', 'scm']: { parent: app, name: way, properties: { allow: false } }
]

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
