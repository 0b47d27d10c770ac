// What the policy's identity may do at the gallery: read it, which giving a VM an application of it takes.

param principalId string
param galleryName string

var reader = 'acdd72a7-3385-48ef-bd42-f606fba81ae7'

resource gallery 'Microsoft.Compute/galleries@2025-12-03' existing = {
  name: galleryName
}

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: gallery
  name: guid(gallery.id, principalId, reader)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', reader)
  }
}
