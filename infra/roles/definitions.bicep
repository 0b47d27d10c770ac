// The app's roles: every action that it uses, with what for, and no other. A test holds each list to the requests
// that the code makes, both ways, and by where they are made.
//
// Five and not one, so that what may read disks cannot make snapshots elsewhere, what may make snapshots cannot
// read disks, and what is not needed (agents started by run command, copies in other regions) can be left out.

targetScope = 'subscription'

param environmentName string

@description('Subscriptions that the roles may be assigned in, as resource ids.')
param subscriptions array

// Of the groups that the VMs and their disks are in.
var source = [
  'Microsoft.Compute/virtualMachines/read' // select VMs; their disks, tags, size
  'Microsoft.Compute/virtualMachines/instanceView/read' // whether it runs, its system, its VM agent
  'Microsoft.Compute/disks/read' // the kind of a disk, and where it lies
  'Microsoft.Compute/disks/beginGetAccess/action' // Azure's check of the source when a snapshot copies a disk
]

// Of the groups that snapshots and restore points go to.
var target = [
  'Microsoft.Compute/snapshots/read' // is it made, how far is its copy, whose is it
  'Microsoft.Compute/snapshots/write' // make it; tag it with its grade
  'Microsoft.Compute/snapshots/delete' // retention, and what a failed generation left
  'Microsoft.Compute/restorePointCollections/read' // reconciliation; a collection's tags
  'Microsoft.Compute/restorePointCollections/write' // a VM's first restore point; the newest one's tags
  'Microsoft.Compute/restorePointCollections/delete' // housekeeping, once the last restore point is gone
  'Microsoft.Compute/restorePointCollections/restorePoints/read' // is it made, how consistent did it become
  'Microsoft.Compute/restorePointCollections/restorePoints/write' // make one of a VM
  'Microsoft.Compute/restorePointCollections/restorePoints/delete' // retention, and failed generations
]

// Of the groups of snapshots that policies copy to other regions. It opens the content of snapshots.
var regionCopy = [
  'Microsoft.Compute/snapshots/beginGetAccess/action' // Azure's check of the source when a snapshot is copied
]

// Of the groups of VMs without a resident agent. Whoever holds it is root on the VMs.
var agentStart = [
  'Microsoft.Compute/virtualMachines/runCommands/write' // start the agent
  'Microsoft.Compute/virtualMachines/runCommands/delete' // 25 of them fit on a VM
]

// Of the subscriptions of all of these: Azure has its operations at no smaller scope.
var operations = [
  'Microsoft.Compute/locations/DiskOperations/read' // how a deletion goes, and why a snapshot failed
  'Microsoft.Compute/locations/operations/read' // the same of restore points
]

var roles = [
  { key: 'source', title: 'source reader', actions: source, what: 'Look at VMs and disks, and copy disks into snapshots.' }
  { key: 'target', title: 'snapshot keeper', actions: target, what: 'Create, tag and delete snapshots and restore points.' }
  { key: 'region-copy', title: 'region copier', actions: regionCopy, what: 'Copy snapshots to other regions.' }
  { key: 'agent-start', title: 'agent starter', actions: agentStart, what: 'Start the guest agent: root on the VM.' }
  { key: 'operations', title: 'operations reader', actions: operations, what: 'See how operations go.' }
]

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [
  for each in roles: {
    name: guid(subscription().id, 'stillframe', each.key, environmentName)
    properties: {
      roleName: 'Stillframe ${each.title} (${environmentName} ${take(uniqueString(subscription().id), 5)})' // one in a tenant
      description: each.what
      type: 'CustomRole'
      assignableScopes: subscriptions
      permissions: [{ actions: each.actions }]
    }
  }
]

output source string = role[0].name
output target string = role[1].name
output regionCopy string = role[2].name
output agentStart string = role[3].name
output operations string = role[4].name
