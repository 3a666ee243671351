"""The metrics a second time, from their formulas, slowly and with nothing shared."""

from __future__ import annotations

import string
from functools import cache


def words(text):
    """SQuAD's normalisation, letter by letter and word by word."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    parts, word = [], ""
    for c in kept + " ":
        if c.isalnum() or c == "_":
            word += c
        else:
            parts.append(" " if word in {"a", "an", "the"} else word)
            parts.append(c)
            word = ""
    return "".join(parts).split()


def f1(said, wanted):
    left, same = list(wanted), 0
    for word in said:
        if word in left:
            left.remove(word)
            same += 1
    if not same:
        return 0.0
    precision, recall = same / len(said), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def best(one):
    return lambda prediction, answers: max([one(prediction, a) for a in answers], default=0.0)


def lcs(a, b):
    """Length of a longest common subsequence, by its recursion."""

    @cache
    def length(i, j):
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + length(i + 1, j + 1)
        return max(length(i + 1, j), length(i, j + 1))

    return length(0, 0)


def common_words(a, b):
    """The set of words of the longest common subsequence of two lists that `rouge` finds."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        for j in range(len(b)):
            same = a[i] == b[j]
            table[i + 1][j + 1] = table[i][j] + 1 if same else max(table[i][j + 1], table[i + 1][j])
    i, j, found = len(a), len(b), set()
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.add(a[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def rouge_l(prediction, answer):
    """Sentences cut at full stops; words that some pair of sentences has in common, as sets."""
    said, wanted = (
        [" ".join(s.split()).split(" ") for s in text.split(".") if s]
        for text in (prediction, answer)
    )
    if not said or not wanted:
        return 0.0
    found = set()
    for sentence in wanted:
        for candidate in said:
            found |= common_words(sentence, candidate)
    n = len({w for s in said for w in s})
    m = len({w for s in wanted for w in s})
    precision, recall = len(found) / n, len(found) / m
    return 2 * precision * recall / (precision + recall + 1e-8)


def rouge_lsum(prediction, answer):
    """Lines are sentences; each gold line's words that a line of the prediction covers, clipped."""

    def lines(text):
        cut = ["".join(c if c in string.ascii_lowercase + string.digits else " " for c in line)
               for line in text.lower().split("\n")]  # fmt: skip
        return [line.split() for line in cut if line.split()]

    def indices(ref, can):
        table = [[0] * (len(can) + 1) for _ in range(len(ref) + 1)]
        for i, r in enumerate(ref, 1):
            for j, c in enumerate(can, 1):
                table[i][j] = table[i - 1][j - 1] + 1 if r == c else max(
                    table[i - 1][j], table[i][j - 1])  # fmt: skip
        i, j, out = len(ref), len(can), set()
        while i and j:
            if ref[i - 1] == can[j - 1]:
                out.add(i - 1)
                i, j = i - 1, j - 1
            elif table[i][j - 1] > table[i - 1][j]:
                j -= 1
            else:
                i -= 1
        return out

    said, wanted = lines(prediction), lines(answer)
    n, m = sum(map(len, said)), sum(map(len, wanted))
    if not n or not m:
        return 0.0
    left_said = [w for line in said for w in line]
    left_wanted = [w for line in wanted for w in line]
    hits = 0
    for line in wanted:
        union = set()
        for candidate in said:
            union |= indices(line, candidate)
        for i in sorted(union):
            if line[i] in left_said and line[i] in left_wanted:
                left_said.remove(line[i])
                left_wanted.remove(line[i])
                hits += 1
    if not hits:
        return 0.0
    precision, recall = hits / n, hits / m
    return 2 * precision * recall / (precision + recall)


def edit_similarity(prediction, answer):
    while prediction.startswith("\n"):
        prediction = prediction[1:]
    line = ""
    for candidate in prediction.split("\n"):
        if "`" not in candidate and "#" not in candidate and "//" not in candidate:
            line = candidate
            break
    total = len(line) + len(answer)
    return round(100 * 2 * lcs(line, answer) / total) / 100 if total else 1.0


def numbers(text):
    found, digits = [], ""
    for c in text + " ":
        if c.isdecimal():
            digits += c
        elif digits:
            found.append(digits)
            digits = ""
    return found


def share(prediction, gold):
    all_numbers = numbers(prediction)
    return sum(n == gold for n in all_numbers) / len(all_numbers) if all_numbers else 0.0
