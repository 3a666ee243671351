"""A LangChain retrieval chain: vectors find the pages, the model reads each set of them once."""

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from sklearn.feature_extraction.text import HashingVectorizer

from pace_integrations.langchain import ChatPace, PaceLoader, create_pace_documents_chain


class HashedWords(Embeddings):
    """Words, hashed: no model, no download."""

    vectorizer = HashingVectorizer(n_features=4096, stop_words="english", alternate_sign=False)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:  # noqa: D102
        return self.vectorizer.transform(texts).toarray().tolist()

    def embed_query(self, text: str) -> list[float]:  # noqa: D102
        return self.embed_documents([text])[0]


def main() -> None:
    store = InMemoryVectorStore(HashedWords())
    store.add_documents(PaceLoader("examples/documents").load())
    chain = RunnablePassthrough.assign(
        context=lambda given: store.similarity_search(given["input"], k=2)
    ).assign(answer=create_pace_documents_chain(ChatPace()))
    result = chain.invoke({"input": "What is the monthly rent?"})
    print(result["answer"])
    print("read:", [d.metadata["title"] for d in result["context"]])


if __name__ == "__main__":
    main()
