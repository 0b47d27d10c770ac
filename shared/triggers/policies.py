"""The HTTP functions about policies: store, look, check and try them, and the schema of their document."""

import re
from typing import Any

import azure.functions as func

from shared.policy.documents import read_policy, read_policy_name
from shared.storage.policies import StoredPolicy
from shared.triggers import policy_document
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import (
    no_continuation,
    only,
    read_continuation,
    read_limit,
    write_continuation,
)
from shared.triggers.replies import reply
from shared.triggers.requests import read_document, read_if_match

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions. Every route needs a function key; ``rights.py`` says of which right."""
    policies = func.Blueprint()
    _stored(policies, application)
    _looking(policies, application)
    _trying(policies, application)
    return policies


def _stored(policies: func.Blueprint, application: Once) -> None:
    @policies.route("policies/{policy}", methods=["PUT"])
    async def put_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            name = read_policy_name(req.route_params["policy"])
            document, etag = read_document(req), read_if_match(req)
            return _policy(await application().policies.put(name, document, etag))

        return await answer(work)

    @policies.route("policies/{policy}", methods=["GET"])
    async def get_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            name = read_policy_name(req.route_params["policy"])
            stored = await application().policies.get(name)
            return _policy(stored, times=await application().policies.times(stored))

        return await answer(work)

    @policies.route("policies/{policy}", methods=["DELETE"])
    async def delete_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            name = read_policy_name(req.route_params["policy"])
            await application().policies.delete(name, read_if_match(req))
            return func.HttpResponse(status_code=204)

        return await answer(work)


def _looking(policies: func.Blueprint, application: Once) -> None:
    @policies.route("policies", methods=["GET"])
    async def list_policies(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "limit", "continuation")
            after = read_continuation(req)
            if after and not _NAME.fullmatch(after):
                raise no_continuation()
            shown, place = await application().policies.listed(after=after, limit=read_limit(req))
            return reply({"items": shown, "continuation": write_continuation(place)})

        return await answer(work)

    @policies.route("policies/{policy}/preview", methods=["GET"])
    async def preview_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "limit")
            name = read_policy_name(req.route_params["policy"])
            stored = await application().policies.get(name)
            view = await application().policies.preview(stored.document, read_limit(req))
            return reply({"policy": name, **view})

        return await answer(work)

    @policies.route("schemas/policy.json", methods=["GET"])
    async def get_policy_schema(req: func.HttpRequest) -> func.HttpResponse:
        del req  # everybody is shown the same

        async def work() -> func.HttpResponse:
            return reply(policy_document.schema())

        return await answer(work)


def _trying(policies: func.Blueprint, application: Once) -> None:
    @policies.route("policies/validate", methods=["POST"])
    async def validate_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            document = read_document(req)
            application().policies.check(read_policy(document))
            return reply({"valid": True, "document": policy_document.normalised(document)})

        return await answer(work)

    @policies.route("policies/preview", methods=["POST"])
    async def try_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "limit")
            view = await application().policies.preview(read_document(req), read_limit(req))
            return reply({"policy": None, **view})

        return await answer(work)


def _policy(stored: StoredPolicy, **more: Any) -> func.HttpResponse:
    return reply({"policy": stored.name, **stored.document, **more}, 200, {"ETag": stored.etag})
