// Whom to wake, and what for. The rules are in alerts.json; a test has each of them find the very lines that the app
// writes, and no others.

param location string
param tags object
param workspaceId string
param emails array

var rules = loadJsonContent('alerts.json')

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: 'ag-stillframe'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'stillframe'
    emailReceivers: map(emails, email => { name: email, emailAddress: email, useCommonAlertSchema: true })
  }
}

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for each in rules: {
    name: 'stillframe-${each.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Stillframe: ${each.name}'
      description: each.what
      severity: each.severity
      enabled: true
      scopes: [workspaceId]
      skipQueryValidation: true // a new workspace has no table AppTraces before the first line is in it
      evaluationFrequency: 'PT${each.minutes}M'
      windowSize: 'PT${each.minutes}M'
      autoMitigate: true
      criteria: {
        allOf: [
          { query: join(each.query, '\n'), timeAggregation: 'Count', operator: 'GreaterThan', threshold: 0 }
        ]
      }
      actions: { actionGroups: empty(emails) ? [] : [people.id] }
    }
  }
]
