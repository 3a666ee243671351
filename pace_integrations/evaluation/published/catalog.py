"""Metric and length of answers of each data set of the published benchmarks."""

from __future__ import annotations

# LongBench 1: metric and tokens of the answer (its dataset2metric and dataset2maxlen).
LONGBENCH = {
    "narrativeqa": ("token_f1", 128),
    "qasper": ("token_f1", 128),
    "multifieldqa_en": ("token_f1", 64),
    "multifieldqa_zh": ("token_f1_chinese", 64),
    "hotpotqa": ("token_f1", 32),
    "2wikimqa": ("token_f1", 32),
    "musique": ("token_f1", 32),
    "dureader": ("rouge_l_chinese", 128),
    "gov_report": ("rouge_l", 512),
    "qmsum": ("rouge_l", 512),
    "multi_news": ("rouge_l", 512),
    "vcsum": ("rouge_l_chinese", 512),
    "trec": ("classification", 64),
    "triviaqa": ("token_f1", 32),
    "samsum": ("rouge_l", 128),
    "lsht": ("classification", 64),
    "passage_count": ("count", 32),
    "passage_retrieval_en": ("retrieval", 32),
    "passage_retrieval_zh": ("retrieval", 32),
    "lcc": ("edit_similarity", 64),
    "repobench-p": ("edit_similarity", 64),
}
# Only the first line of a prediction counts there.
FIRST_LINE = frozenset({"trec", "triviaqa", "samsum", "lsht"})
# What is asked for where rows have no question, or one that does not say what to do.
LONGBENCH_QUESTIONS = {
    "gov_report": "Summarize the report in about one page.",
    "multi_news": "Summarize the news in about one page.",
    "vcsum": "总结会议内容。",
    "trec": "Name the type of the last question.",
    "lsht": "给出最后一篇新闻的类别。",
    "samsum": "Summarize the last dialogue.",
    "passage_count": "How many different paragraphs are there? Write the number only.",
    "passage_retrieval_en": 'Which paragraph is this the abstract of? Write "Paragraph" and its '
    "number.",
    "passage_retrieval_zh": "以下摘要属于哪一段?请写出“段落”和编号。",
    "lcc": "Write the next line of code.",
    "repobench-p": "Write the next line of code.",
}
CHOICE_SUFFIX = "Answer in this form: The correct answer is (A)."

# InfiniteBench: metric and tokens of the answer, by the name of its files.
INFINITE = {
    "passkey": ("first_integer", 6),
    "number_string": ("first_integer", 12),
    "kv_retrieval": ("word_match", 50),
    "longbook_sum_eng": ("rouge_lsum", 1200),
    "longbook_choice_eng": ("option", 40),
    "longbook_qa_eng": ("token_f1", 40),
    "longbook_qa_chn": ("character_f1_chinese", 40),
    "longdialogue_qa_eng": ("name_match", 40),
    "math_find": ("first_number", 3),
    "math_calc": ("leading_numbers", 30000),
    "code_run": ("last_integer", 5),
    "code_debug": ("named_option", 5),
}

# LV-Eval: metric by the name of a data set without its length.
LVEVAL = {
    "hotpotwikiqa_mixup": "keyword_f1",
    "loogle_SD_mixup": "keyword_f1",
    "loogle_CR_mixup": "keyword_f1",
    "loogle_MIR_mixup": "keyword_f1",
    "multifieldqa_en_mixup": "keyword_f1",
    "multifieldqa_zh_mixup": "keyword_f1_chinese",
    "factrecall_en": "keyword_recall",
    "factrecall_zh": "keyword_recall_chinese",
    "cmrc_mixup": "keyword_f1_chinese",
    "lic_mixup": "keyword_f1_chinese",
    "dureader_mixup": "rouge_l_without_stop_words",
}
