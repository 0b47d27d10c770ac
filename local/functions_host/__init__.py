"""A functions host for machines without Azure Functions Core Tools.

The official `azure-functions-runtime` indexes and invokes an unmodified `function_app.py`; this package is
what stands around it in Azure: listeners, bindings, HTTP front and shutdown, by the real host's rules.
"""
