<#
.SYNOPSIS
Installs, upgrades or removes the Stillframe agent on Windows Server.

.DESCRIPTION
Unpacks python.org's embeddable CPython and agent.pyz into %ProgramFiles%\Stillframe, makes the folders under
%ProgramData%\Stillframe that only the system and administrators may write to, and registers a scheduled task
that tidies up at every boot. A bootstrap in the environment variable STILLFRAME_BOOTSTRAP is enrolled: the task
then keeps a resident agent running. Without one, run commands start the agent, and hand it its key each time.
Nothing else of the system is changed. Running it again upgrades: a session under way is finished by the version
that began it, unless Python itself is replaced; then agents are asked to let go and to end first.

.EXAMPLE
.\install.ps1 -PythonZip .\python-3.13.2-embed-amd64.zip -PythonSha256 <hex> -Agent .\agent.pyz -AgentSha256 <hex>

.EXAMPLE
.\install.ps1 -Uninstall
#>
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(DefaultParameterSetName = 'Install')]
param(
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')] [string] $PythonZip,
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')]
    [ValidatePattern('^[0-9A-Fa-f]{64}$')] [string] $PythonSha256,
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')] [string] $Agent,
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')]
    [ValidatePattern('^[0-9A-Fa-f]{64}$')] [string] $AgentSha256,
    [Parameter(Mandatory = $true, ParameterSetName = 'Uninstall')] [switch] $Uninstall,
    [Parameter(ParameterSetName = 'Uninstall')] [switch] $RemoveData
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$TaskName = 'Stillframe agent'
$System = '*S-1-5-18'
$Administrators = '*S-1-5-32-544'
$StopSeconds = 60

# Under the 32-bit PowerShell, ProgramFiles is the folder of 32-bit programs.
$programs = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$folder = Join-Path -Path $programs -ChildPath 'Stillframe'
$data = Join-Path -Path $env:ProgramData -ChildPath 'Stillframe'
$python = Join-Path -Path $folder -ChildPath 'python\python.exe'
$program = Join-Path -Path $folder -ChildPath 'agent.py'

function Assert-Hash([string] $Path, [string] $Expected) {
    $found = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash
    if ($found -ne $Expected) { throw "$Path has SHA-256 $found, not $Expected" }
}

function Invoke-Checked([string] $Program, [string[]] $Arguments) {
    $output = & $Program @Arguments 2>&1 | Out-String
    if ($LASTEXITCODE -ne 0) { throw "$Program ended with ${LASTEXITCODE}: $output" }
}

function Protect-Folder([string] $Path) {
    New-Item -ItemType Directory -Path $Path -Force | Out-Null
    $icacls = Join-Path -Path $env:SystemRoot -ChildPath 'System32\icacls.exe'
    Invoke-Checked $icacls @($Path, '/setowner', $Administrators, '/q')
    Invoke-Checked $icacls @($Path, '/inheritance:r', '/grant:r', "${System}:(OI)(CI)F", "${Administrators}:(OI)(CI)F", '/q')
}

# Ends running agents in good order: each lets go of what it holds, then ends by itself.
function Stop-Agent {
    $agents = @(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'python.exe'" |
        Where-Object -FilterScript { $_.ExecutablePath -like (Join-Path -Path $folder -ChildPath '*') })
    foreach ($process in $agents) {
        try {
            $stop = [Threading.EventWaitHandle]::OpenExisting("Global\stillframe-stop-$($process.ProcessId)")
            $null = $stop.Set()
            $stop.Dispose()
        }
        catch [Threading.WaitHandleCannotBeOpenedException] {
            Write-Verbose -Message "process $($process.ProcessId) has ended or waits for no event"
        }
    }
    foreach ($process in $agents) {
        Wait-Process -Id $process.ProcessId -Timeout $StopSeconds -ErrorAction SilentlyContinue
        if (Get-Process -Id $process.ProcessId -ErrorAction SilentlyContinue) {
            throw "the agent (process $($process.ProcessId)) did not end in $StopSeconds s"
        }
    }
}

# Python is replaced only by another one: agents run on it.
function Install-Python {
    $mark = Join-Path -Path $folder -ChildPath 'python\stillframe-sha256'
    if ((Test-Path -LiteralPath $mark) -and ((Get-Content -LiteralPath $mark) -eq $PythonSha256)) { return }
    $fresh = Join-Path -Path $folder -ChildPath 'python.new'
    $target = Join-Path -Path $folder -ChildPath 'python'
    if (Test-Path -LiteralPath $fresh) { Remove-Item -LiteralPath $fresh -Recurse -Force }
    Expand-Archive -LiteralPath $PythonZip -DestinationPath $fresh
    # Only now: what cannot be unpacked stops nobody.
    if (Get-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue) {
        Disable-ScheduledTask -TaskName $TaskName | Out-Null
    }
    Stop-Agent
    if (Test-Path -LiteralPath $target) { Remove-Item -LiteralPath $target -Recurse -Force }
    Move-Item -LiteralPath $fresh -Destination $target
    Set-Content -LiteralPath $mark -Value $PythonSha256 -Encoding Ascii
}

# One task, whose actions follow each other: deletes what a reboot left behind, then is the resident agent. A task
# that has ended is begun anew every minute, one that runs is left alone: so a new version is started by itself.
function Register-Task {
    $actions = @(New-ScheduledTaskAction -Execute $python -Argument ('"{0}" tidy' -f $program))
    $triggers = @(New-ScheduledTaskTrigger -AtStartup)
    $enrolled = Test-Path -LiteralPath (Join-Path -Path $data -ChildPath 'enrolment.json')
    if ($enrolled) {
        $actions += New-ScheduledTaskAction -Execute $python -Argument ('"{0}" run --resident' -f $program)
        $triggers += New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval ([TimeSpan]::FromMinutes(1))
    }
    $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest
    $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries `
        -StartWhenAvailable -MultipleInstances IgnoreNew -ExecutionTimeLimit ([TimeSpan]::Zero)
    Register-ScheduledTask -TaskName $TaskName -Action $actions -Trigger $triggers -Principal $principal `
        -Settings $settings -Force | Out-Null
    if ($enrolled) { Start-ScheduledTask -TaskName $TaskName }
}

if ($Uninstall) {
    # First the task: it would start an agent that has ended anew.
    if (Get-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue) {
        Unregister-ScheduledTask -TaskName $TaskName -Confirm:$false
    }
    Stop-Agent
    if (Test-Path -LiteralPath $folder) { Remove-Item -LiteralPath $folder -Recurse -Force }
    $enrolment = Join-Path -Path $data -ChildPath 'enrolment.json'
    if (Test-Path -LiteralPath $enrolment) { Remove-Item -LiteralPath $enrolment -Force }
    if ($RemoveData -and (Test-Path -LiteralPath $data)) { Remove-Item -LiteralPath $data -Recurse -Force }
    Write-Output -InputObject 'stillframe: removed'
    return
}

Assert-Hash -Path $PythonZip -Expected $PythonSha256
Assert-Hash -Path $Agent -Expected $AgentSha256
Protect-Folder -Path $folder
foreach ($path in @($data, (Join-Path -Path $data -ChildPath 'state'), (Join-Path -Path $data -ChildPath 'scripts'))) {
    Protect-Folder -Path $path
}
Install-Python
Invoke-Checked $python @($Agent, 'place', $folder)
if ($env:STILLFRAME_BOOTSTRAP) { Invoke-Checked $python @($program, 'enrol') }
Remove-Item -Path 'Env:STILLFRAME_BOOTSTRAP' -ErrorAction SilentlyContinue
Register-Task
$version = & $python $program --version
if ($LASTEXITCODE -ne 0) { throw 'the agent does not start' }
Write-Output -InputObject "stillframe: agent $version is installed in $folder"
