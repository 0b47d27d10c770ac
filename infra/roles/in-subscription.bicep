// Gives the app some of its roles in a whole subscription. Empty names are left out.

targetScope = 'subscription'

param principalId string
param roles array

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, each => !empty(each)): {
    name: guid(subscription().id, principalId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]
