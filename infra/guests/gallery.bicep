// The agent as a VM Application, one for each system, in a gallery of its own. Deployed to a resource group, twice for
// a version: without `version` it makes all that there is to publish into; once the packages of `make package` lie in
// the container, with it. A version that is published never changes: a new one is another version.

@description('Names the gallery: letters, digits, periods and underscores.')
@minLength(1)
@maxLength(80)
param galleryName string = 'stillframe'

@description('Where the gallery lies, and the first region that it gives packages to.')
param location string = resourceGroup().location

@description('The storage account of this resource group that gets a container for the packages.')
param storageAccountName string

@description('The version to publish, as 0.1.0. Empty: none yet.')
param version string = ''

@description('The regions of the VMs: a VM gets a package from its own region only.')
param regions array = [location]

@description('Whether there is a package for Windows, which has the Python that runs the agent.')
param windows bool = false

var publishWindows = windows && !empty(version)

// What Azure runs where a package lies, which is there under the name of its application.
var commands = loadJsonContent('commands.json')
var storageBlobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // what Microsoft's page on publishing names

var linuxPackage = 'stillframe-agent-${version}-linux.tar.gz'
var windowsPackage = 'stillframe-agent-${version}-windows.zip'
var targets = [for region in union([location], regions): { name: region, regionalReplicaCount: 1 }]

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource packages 'containers' = {
      name: 'agent-packages'
      properties: { publicAccess: 'None' }
    }
  }
}

// The gallery reads packages by this identity: no SAS lies in a version for all to read.
resource publisher 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${galleryName}-publisher'
  location: location
}

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account::blobs::packages
  name: guid(account::blobs::packages.id, publisher.id, storageBlobDataContributor)
  properties: {
    principalId: publisher.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataContributor)
  }
}

resource gallery 'Microsoft.Compute/galleries@2025-12-03' = {
  name: galleryName
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${publisher.id}': {} } }
  properties: { description: 'Packages of the Stillframe guest agent' }
}

resource linux 'Microsoft.Compute/galleries/applications@2025-12-03' = {
  parent: gallery
  name: commands.linux.application
  location: location
  properties: { supportedOSType: 'Linux', description: 'The Stillframe guest agent' }
}

resource windowsApplication 'Microsoft.Compute/galleries/applications@2025-12-03' = {
  parent: gallery
  name: commands.windows.application
  location: location
  properties: { supportedOSType: 'Windows', description: 'The Stillframe guest agent, with its Python' }
}

resource linuxVersion 'Microsoft.Compute/galleries/applications/versions@2025-12-03' = if (!empty(version)) {
  parent: linux
  name: empty(version) ? '0.0.0' : version
  location: location
  properties: {
    publishingProfile: {
      source: { mediaLink: '${account.properties.primaryEndpoints.blob}agent-packages/${linuxPackage}' }
      manageActions: {
        install: commands.linux.install
        update: commands.linux.update
        remove: commands.linux.remove
      }
      targetRegions: targets
    }
  }
  dependsOn: [mayRead]
}

resource windowsVersion 'Microsoft.Compute/galleries/applications/versions@2025-12-03' = if (publishWindows) {
  parent: windowsApplication
  name: empty(version) ? '0.0.0' : version
  location: location
  properties: {
    publishingProfile: {
      source: { mediaLink: '${account.properties.primaryEndpoints.blob}agent-packages/${windowsPackage}' }
      manageActions: {
        install: commands.windows.install
        update: commands.windows.update
        remove: commands.windows.remove
      }
      targetRegions: targets
    }
  }
  dependsOn: [mayRead]
}

output galleryId string = gallery.id
output container string = '${account.properties.primaryEndpoints.blob}agent-packages'
output linuxVersionId string = empty(version) ? '' : linuxVersion.id
output windowsVersionId string = publishWindows ? windowsVersion.id : ''
