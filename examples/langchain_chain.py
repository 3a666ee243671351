"""A LangChain chain over documents that were read once."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from pace_integrations.langchain import ChatPace


def main() -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    llm = ChatPace(paths="examples/documents/rental-contract.pdf")
    chain = prompt | llm | StrOutputParser()
    print(chain.invoke({"question": "What is the monthly rent?"}))
    message = llm.invoke("When does the tenancy begin?")
    print(message.content, message.usage_metadata)


if __name__ == "__main__":
    main()
