"""The prompts the model is trained on, as pieces that are tokenised one by one.

They repeat what `pace_integrations.model.prompts` and the two frameworks send, token by token.
"""

UNANSWERABLE = "The documents do not say."
SYSTEM = "<|im_start|>system\n"
INSTRUCTION = (
    "Answer the question using only the numbered documents below. Be brief and cite the document "
    "you used in brackets, like [1]. If they do not contain the answer, say: "
    f"{UNANSWERABLE}\n\n"
)
TO_USER = "<|im_end|>\n<|im_start|>user\n"
TO_ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"
NEXT_USER = "\n<|im_start|>user\n"

LANGCHAIN = (
    "Use the following pieces of retrieved context to answer the question. If you don't know the "
    "answer, just say that you don't know.\n\n"
)
LANGCHAIN_SHORT = (
    "Answer any user questions based solely on the context below:\n\n<context>\n",
    "\n</context>",
)
LLAMA_INDEX = (
    "Context information is below.\n---------------------\n",
    "\n---------------------\nGiven the context information and not prior knowledge, answer the "
    "query.\nQuery: ",
    "\nAnswer: ",
)


def heading(number: int, title: str, label: str | None) -> str:
    """First line of a numbered passage."""
    page = f", page {label}" if label else ""
    return f"[{number}] {title}{page}\n"


def passage(number: int, title: str, label: str | None, text: str) -> str:
    """Return a numbered passage as the library shows it to the model."""
    return f"{heading(number, title, label)}{text}\n\n"


def cited(answer: str, number: int) -> str:
    """Return the answer with the passage it comes from."""
    return f"{answer} [{number}]"


def prompt(passages: list[str], question: str) -> list[str]:
    """Return the pieces of the library's prompt up to where the answer begins."""
    return [SYSTEM, INSTRUCTION, *passages, TO_USER, question, TO_ASSISTANT]
