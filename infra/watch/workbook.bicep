// The workbook: how backups ended, freeze windows against their budgets, grades, what went wrong.

param location string
param tags object
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'stillframe-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Stillframe'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: loadTextContent('workbook.json')
  }
}
