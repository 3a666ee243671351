"""The recipe of pace-small: SmolLM2-135M-Instruct, adapted to read pages and to find them."""
