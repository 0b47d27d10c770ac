"""Sagas, runs and policies in Table Storage; messages in Queue Storage.

Every operation may also raise ``azure.core.exceptions.AzureError``: the service could not be reached, or
refused, after the retries set in ``clients.py``. Such an error does not say whether a write happened; every
write can be repeated.
"""
