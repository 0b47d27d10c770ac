// Gives the app some of its roles in one resource group. Empty names are left out.

param principalId string
param roles array

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, each => !empty(each)): {
    name: guid(resourceGroup().id, principalId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]
