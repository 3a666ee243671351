"""The published benchmarks' own metrics by name, and which further fields of a row each takes."""

from __future__ import annotations

from collections.abc import Callable

from pace_integrations.evaluation.published import chinese, choices, gated, overlap

METRICS: dict[str, tuple[Callable[..., float], tuple[str, ...]]] = {
    "token_f1_chinese": (chinese.token_f1_chinese, ()),
    "character_f1_chinese": (chinese.character_f1_chinese, ()),
    "rouge_l": (overlap.rouge_l, ()),
    "rouge_l_chinese": (overlap.rouge_l_chinese, ()),
    "rouge_lsum": (overlap.rouge_lsum, ()),
    "edit_similarity": (overlap.edit_similarity, ()),
    "classification": (choices.score_classification, ("classes",)),
    "retrieval": (choices.score_retrieval, ()),
    "count": (choices.score_count, ()),
    "stated_choice": (choices.stated_choice, ()),
    "option": (choices.score_option, ()),
    "first_integer": (choices.first_integer, ()),
    "first_number": (choices.first_number, ()),
    "last_integer": (choices.last_integer, ()),
    "leading_numbers": (choices.leading_numbers, ()),
    "named_option": (choices.named_option, ()),
    "word_match": (choices.word_match, ()),
    "name_match": (choices.name_match, ()),
    "label": (choices.score_label, ("classes", "question")),
    "keyword_f1": (gated.keyword_f1, ("keywords",)),
    "keyword_f1_chinese": (gated.keyword_f1_chinese, ("keywords",)),
    "keyword_recall": (gated.keyword_recall, ()),
    "keyword_recall_chinese": (gated.keyword_recall_chinese, ()),
    "rouge_l_without_stop_words": (gated.rouge_l_without_stop_words, ()),
}
