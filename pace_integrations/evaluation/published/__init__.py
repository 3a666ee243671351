"""Published benchmarks: readers of their files and their own metrics, exactly as they count.

LongBench 1 and 2, InfiniteBench, LV-Eval, BABILong's label, lost-in-the-middle, SQuAD, HotpotQA,
2WikiMultihopQA and MuSiQue. Nothing is downloaded, and nothing else in the package needs this.
"""
