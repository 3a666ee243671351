"""A door to models that run elsewhere: a part of `Pace`."""

from __future__ import annotations

import importlib
from typing import Any


class RemoteDoor:
    """Models behind an OpenAI endpoint."""

    @staticmethod
    def remote(
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        context: int | None = None,
    ) -> Any:  # noqa: ANN401 - a RemotePace, of a package that builds upon this one
        """Return a model behind an OpenAI endpoint (vLLM, SGLang, llama-server, a service).

        Documents, pages, their selection and citations are as with a model in this process; what
        that model has read is not kept, since the endpoint does not give it away: the pages of
        each question are sent with it.

        Args:
            url: Address of the interface, such as ``http://gpu1:8000/v1``.
            model: Name of the model; None takes the first that the endpoint lists.
            api_key: Key, where one is needed.
            context: Tokens of its context; None takes what the endpoint says, or 8,192.

        Raises:
            ConfigError: It is no address.
            ModelLoadError: The endpoint does not answer, or has no such model.
        """
        # Names at run time: modules import downwards, and a library builds upon sessions.
        endpoint = importlib.import_module("pace_integrations.library.endpoint").Endpoint(
            url, model=model, api_key=api_key, context=context
        )
        return importlib.import_module("pace_integrations.library.remote").RemotePace(endpoint)
