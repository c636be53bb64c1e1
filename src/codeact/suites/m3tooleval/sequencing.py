"""Tools of the family `cryptobotanists_plant_dna_sequencer`: strands of DNA and RNA as texts of letters."""

from collections import Counter
from typing import Any

__all__ = ["TOOLS"]

_TO_RNA = {"A": "U", "T": "A", "C": "G", "G": "C"}
_TO_DNA = {"A": "T", "U": "A", "C": "G", "G": "C"}
_AMINO_ACIDS = {"AUG": "Methionine", "UUU": "Phenylalanine", "UUC": "Phenylalanine"}
_CODON_CHARS = 3


def count_nucleotides(dna_sequence: str) -> dict[str, int]:
    """How often each letter occurs, in the order in which they first do."""
    return dict(Counter(dna_sequence))


def transcribe_dna_to_mrna(dna_sequence: str) -> str:
    """The complementary strand of RNA; letters that stand for no nucleotide are kept."""
    return "".join(_TO_RNA.get(letter, letter) for letter in dna_sequence)


def translate_mrna_to_amino_acid(mrna_sequence: str) -> str:
    """An amino acid for every three letters, joined by hyphens; X for an incomplete codon and all but three."""
    starts = range(0, len(mrna_sequence), _CODON_CHARS)
    return "-".join(_AMINO_ACIDS.get(mrna_sequence[start : start + _CODON_CHARS], "X") for start in starts)


def find_max_nucleotide(*args: Any) -> tuple[Any, Any]:
    """The nucleotide of the highest count, the first of equals, from names and counts that take turns."""
    if len(args) % 2:
        raise ValueError(f"a count belongs to each nucleotide: got {len(args)} arguments, which is no even number")
    counts = list(zip(args[::2], args[1::2], strict=True))
    if not counts:
        raise ValueError("there are no counts to compare: give nucleotides and counts in turn")
    best: tuple[Any, Any] = max(counts, key=lambda pair: pair[1])
    return best


def is_valid_dna_sequence(dna_sequence: str) -> bool:
    """Whether there are no other letters than A, C, G and T."""
    return all(letter in _TO_RNA for letter in dna_sequence)


def reverse_transcribe_mrna_to_dna(mrna_sequence: str) -> str:
    """The complementary strand of DNA; letters that stand for no nucleotide are kept."""
    return "".join(_TO_DNA.get(letter, letter) for letter in mrna_sequence)


TOOLS = (count_nucleotides, transcribe_dna_to_mrna, translate_mrna_to_amino_acid, find_max_nucleotide,
         is_valid_dna_sequence, reverse_transcribe_mrna_to_dna)
