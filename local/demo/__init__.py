"""The demonstration: one VM's application held still, snapshotted, resumed; restored and checked."""
