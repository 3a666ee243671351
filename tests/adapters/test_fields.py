"""Settings, identity and copies of the model classes of both integrations."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import QUESTION
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import TextNode

from pace_integrations import Corpus, MemoryConfig, Pace, Session
from pace_integrations.adapters.fields import LOAD_FIELDS
from pace_integrations.errors import ConfigError
from pace_integrations.langchain import ChatPace
from pace_integrations.langchain import PaceLLM as LangChainLLM
from pace_integrations.llama_index import PaceChatEngine, PaceLLM, PaceQueryEngine

CLASSES = [ChatPace, LangChainLLM, PaceLLM]


@pytest.fixture(params=CLASSES, ids=lambda kind: f"{kind.__module__.split('.')[1]}.{kind.__name__}")
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_every_option_of_loading_is_a_field() -> None:
    assert set(inspect.signature(Pace.load).parameters) == {"model", *LOAD_FIELDS}


@pytest.mark.parametrize(
    ("spelled", "field", "value"),
    [
        ({"model": "a/b"}, "model_name", "a/b"),
        ({"model_id": "a/b"}, "model_name", "a/b"),
        ({"model_name": "a/b"}, "model_name", "a/b"),
        ({"max_new_tokens": 5}, "max_tokens", 5),
        ({"max_completion_tokens": 5}, "max_tokens", 5),
        ({"num_output": 5}, "max_tokens", 5),
        ({"generate_kwargs": {"max_new_tokens": 5}}, "max_tokens", 5),
        ({"model_kwargs": {"torch_dtype": "float32"}}, "dtype", "float32"),
        ({"model_kwargs": {"generate_kwargs": {"top_k": 3}}}, "top_k", 3),
        ({"generate_kwargs": {"do_sample": False}}, "temperature", 0.0),
        ({"stop": "end"}, "stop", ["end"]),
        ({"request_timeout": 3.0}, "timeout", 3.0),
        ({"activation_memory": None}, "memory", None),
        ({"temperature": None}, "temperature", 0.0),
        ({"max_tokens": None, "held_prompts": None}, "max_tokens", 256),
        ({"api_key": "test", "max_retries": 2, "n": 1}, "max_tokens", 256),
        ({"kv": "int8"}, "kv", "int8"),
        ({"max_tokens": 7, "max_new_tokens": 5}, "max_tokens", 5),
    ],
)
def test_a_setting_is_taken_under_the_names_people_know(
    kind: Any, spelled: dict[str, Any], field: str, value: Any
) -> None:
    assert getattr(kind(**spelled), field) == value
    copied = kind().model_copy(update=spelled)
    assert getattr(copied, field) == value


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("max_tokns", "max_tokens"),
        ("path", "paths"),
        ("temprature", "temperature"),
        ("quantisation", "quantization"),
        ("overfow", "overflow"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest(kind: Any, wrong: str, near: str) -> None:
    for refused in (kind, lambda **given: kind().model_copy(update=given)):
        with pytest.raises(ValueError, match=f"no setting '{wrong}'; did you mean {near}="):
            refused(**{wrong: 1})
    with pytest.raises(ValueError, match=f"no setting '{wrong}'"):
        kind(model_kwargs={wrong: 1})


@pytest.mark.parametrize("wrong", ["max_tokns", "temprature", "presence_penalty"])
def test_a_call_refuses_what_it_does_not_know(kind: Any, wrong: str, pace: Pace) -> None:
    ask = kind(pace=pace).complete if kind is PaceLLM else kind(pace=pace).invoke
    with pytest.raises(ConfigError, match=f"no setting '{wrong}'"):
        ask(QUESTION, **{wrong: 1})


def test_an_option_of_loading_is_refused_where_a_model_is_loaded(kind: Any, pace: Pace) -> None:
    with pytest.raises(ValueError, match=r"quantization= would load a model"):
        kind(pace=pace, quantization="int8")
    with pytest.raises(ValueError, match=r"memory= would load a model"):
        kind(session=pace.blank(), memory=MemoryConfig())
    with pytest.raises(ValueError, match=r"acts on documents"):
        kind(overflow="window")


@pytest.mark.parametrize("wrong", [{"session": 5}, {"pace": "pace-nano"}, {"session": {}}])
def test_a_source_of_another_kind_is_refused(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be a|cannot travel"):
        kind(**wrong)


def test_another_model_answers_a_call(kind: Any, pace: Pace, tiny_path: Path) -> None:
    corpus = Corpus.from_texts({"a": "The gate opens at 7:30."})
    made, other = kind(pace=pace, corpus=corpus, max_tokens=4), f"{tiny_path}/"

    def ask(**options: Any) -> str:
        if kind is PaceLLM:
            return str(made.complete(QUESTION, **options))
        said = made.invoke(QUESTION, **options)
        return str(getattr(said, "content", said))

    # The same weights, under a name of their own and without the memory that `pace` has.
    assert ask(model=other)
    assert ask(model=pace.name) == ask(model=None) == ask()
    read = made._other_models[other].session.corpus
    assert read.fingerprint == corpus.fingerprint
    made._other_models[other].pace.close()


def test_a_saved_session_tells_its_window_before_it_is_opened(
    kind: Any, house_session: Session, tmp_path: Path
) -> None:
    house_session.save(tmp_path / "house.pace")
    made = kind(session=tmp_path / "house.pace")
    left = house_session.pace.context_window - house_session.tokens
    if kind is ChatPace:
        assert made.profile["max_input_tokens"] == left
    elif kind is PaceLLM:
        assert made.metadata.context_window == left
    assert not made._binding.ready


def test_a_profile_tells_what_the_documents_leave(pace: Pace, house: Path, tiny_path: Path) -> None:
    chat = ChatPace(pace=pace, paths=house, max_tokens=2)
    assert chat.profile["max_input_tokens"] == pace.context_window
    chat.invoke(QUESTION)
    assert chat.profile["max_input_tokens"] == pace.context_window - chat.session.tokens
    assert chat.profile["max_input_tokens"] == PaceLLM(session=chat.session).metadata.context_window
    assert ChatPace(model=str(tiny_path)).profile["max_input_tokens"] == pace.context_window
    asked = ChatPace(model=str(tiny_path), context=100)
    assert asked.profile["max_input_tokens"] == 100
    own = ChatPace(pace=pace, profile={"max_input_tokens": 7})
    own.invoke(QUESTION, max_tokens=1)
    assert own.profile == {"max_input_tokens": 7}


def test_what_differs_in_model_documents_or_settings_has_another_key(
    house: Path, tmp_path: Path, house_session: Session, pace: Pace
) -> None:
    (tmp_path / "a.txt").write_text("The oak.")

    def key(llm: PaceLLM) -> str:
        return get_transformation_hash([TextNode(text="x", id_="1")], TitleExtractor(llm=llm))

    made = [
        PaceLLM(),
        PaceLLM(model="a/b"),
        PaceLLM(paths=house),
        PaceLLM(paths=tmp_path / "a.txt"),
        PaceLLM(session=house_session),
        PaceLLM(session=pace.blank()),
        PaceLLM(corpus=Corpus.from_texts({"a": "b"})),
        PaceLLM(memory=MemoryConfig(slots=7)),
        PaceLLM(overflow="yarn"),
        PaceLLM(temperature=0.5),
    ]
    keys = [key(llm) for llm in made]
    assert len({*keys}) == len(made)
    (tmp_path / "a.txt").write_text("The elm and the oak.")
    assert key(made[3]) not in keys
    assert key(PaceLLM(session=house_session)) == keys[4]
    json.dumps([llm.to_dict() for llm in made])


def test_what_can_travel_arrives_whole(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The oak.")
    made = kind(
        model="a/b",
        paths=[tmp_path / "a.txt"],
        max_tokens=5,
        memory=MemoryConfig(slots=7),
        stop=["x"],
    )
    arrived = pickle.loads(pickle.dumps(made))
    for name in ("model_name", "paths", "max_tokens", "memory", "stop"):
        assert getattr(arrived, name) == getattr(made, name)
    if kind is PaceLLM:
        again = PaceLLM.from_dict(made.to_dict())
        assert again.to_dict() == made.to_dict() == arrived.to_dict()


def test_what_is_loaded_refuses_to_travel(kind: Any, house_session: Session) -> None:
    for live in ({"session": house_session}, {"pace": house_session.pace}):
        with pytest.raises(ConfigError, match="cannot be pickled"):
            pickle.dumps(kind(**live))
    if kind is PaceLLM:
        with pytest.raises(ValueError, match="cannot travel"):
            PaceLLM.from_dict(PaceLLM(session=house_session).to_dict())


def test_a_deep_copy_shares_the_model_and_nothing_else(kind: Any, house_session: Session) -> None:
    made = kind(session=house_session, stop=["x"], max_tokens=4)
    for twin in (copy.deepcopy(made), made.model_copy(deep=True), copy.copy(made)):
        assert twin.session is made.session
        assert twin.max_tokens == 4
    twin = copy.deepcopy(made)
    twin.stop.append("y")
    assert made.stop == ["x"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("max_tokens", True),
        ("max_tokens", 2.5),
        ("max_tokens", np.float32(5)),
        ("temperature", float("nan")),
        ("temperature", np.bool_(True)),
        ("top_p", 0),
        ("seed", 2**70),
        ("timeout", -1),
        ("timeout", np.float32("nan")),
        ("stop", 5),
        ("stop", [""]),
        ("held_prompts", -1),
        ("batch_size", True),
    ],
)
def test_a_number_is_checked_wherever_it_enters(
    kind: Any, name: str, wrong: Any, pace: Pace
) -> None:
    made = kind(pace=pace, max_tokens=4)
    for enter in (
        lambda: kind(**{name: wrong}),
        lambda: made.model_copy(update={name: wrong}),
        lambda: setattr(made, name, wrong),
    ):
        with pytest.raises(ValueError, match=r"must|should|at most"):
            enter()
    if name not in ("held_prompts", "batch_size"):
        ask = made.complete if kind is PaceLLM else made.invoke
        with pytest.raises(ConfigError, match=r"must"):
            ask(QUESTION, **{name: wrong})


def test_numbers_of_numpy_are_numbers(kind: Any, pace: Pace) -> None:
    made = kind(pace=pace, max_tokens=np.int64(4), temperature=np.float32(0), seed=np.int32(3))
    assert json.dumps([made.max_tokens, made.temperature, made.seed]) == "[4, 0.0, 3]"
    ask = made.complete if kind is PaceLLM else made.invoke
    assert ask(QUESTION, max_tokens=np.int64(2), timeout=np.float32(60))
    json.dumps(made.identify())


def test_a_setting_that_is_assigned_takes_effect(
    kind: Any, pace: Pace, house_session: Session, tiny_path: Path
) -> None:
    made = kind(pace=pace, max_tokens=4)
    ask = made.complete if kind is PaceLLM else made.invoke
    ask(QUESTION)
    made.max_tokens = 2
    assert made._call_settings({}).generation.max_new_tokens == 2
    made.held_prompts, made.batch_size = 0, 1
    ask(QUESTION)
    assert made._find_prefixes(made.session).max_prompts == 0
    made.pace = None
    made.session_source = house_session
    assert made.session is house_session
    with pytest.raises(ValueError, match="exclude each other"):
        made.model_name = str(tiny_path)
    assert made.session is house_session


def test_a_chat_engine_tells_the_two_memories_apart(house: Path) -> None:
    engine = PaceChatEngine.from_paths(house, activation_memory=None)
    assert engine._llm._llm.memory is None
    with pytest.raises(ConfigError, match="activation_memory="):
        PaceChatEngine.from_paths(house, memory=MemoryConfig())


@pytest.mark.parametrize("engine", [PaceQueryEngine, PaceChatEngine])
def test_an_engine_refuses_what_neither_it_nor_its_llm_knows(engine: Any, house: Path) -> None:
    with pytest.raises(TypeError, match="no setting 'max_tokns'; did you mean max_tokens="):
        engine.from_paths(house, max_tokns=3)
    with pytest.raises(ConfigError, match="needs a Session or a folder"):
        engine.from_session(5)


LIGHT = {
    "langchain": (
        "PaceLoader('x'); PageRetriever.from_documents([]); ChatPace(paths='x');"
        "ChatPace(model='a/b'); PaceLLM(paths='x'); create_corpus_qa_chain(ChatPace(), 'x')"
    ),
    "llama_index": (
        "PaceReader(); PaceLLM(paths='x').to_dict(); PaceQueryEngine.from_paths('x');"
        "PaceChatEngine.from_paths('x'); CitedPageRetriever.from_paths('x')"
    ),
}


@pytest.mark.parametrize("module", LIGHT)
def test_an_integration_is_imported_in_a_second_and_loads_no_pytorch(module: str) -> None:
    code = (
        f"import sys, time, pace_integrations.{module} as m; print(time.process_time()); "
        f"assert set(m.__all__) <= set(dir(m)); from pace_integrations.{module} import *; "
        f"{LIGHT[module]}; print([m for m in ('torch', 'transformers') if m in sys.modules]); "
        "m.Nonsense"
    )
    seconds: list[float] = []
    # CPU time too grows on a machine that is busy, with cold caches; the least of a few is the
    # import's own.
    while len(seconds) < 4 and min(seconds, default=9.0) >= 1.0:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "has no attribute 'Nonsense'" in done.stderr
        spent, heavy = done.stdout.splitlines()
        assert heavy == "[]"
        seconds.append(float(spent))
    assert min(seconds) < 1.0
