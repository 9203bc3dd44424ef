//! The Huffman codebooks of AAC, as far as lengths go (ISO/IEC 14496-3, annex 4.A).
//!
//! The words of each book are canonical: those of one length follow one another, and shorter ones stand in front of longer
//! ones. How many there are of each length makes the book; what a word brings is listed in the order of the words.

use crate::bits::BitReader;

/// One codebook.
#[derive(Debug)]
pub(crate) struct Book {
    /// Spectral lines that a word stands for.
    pub(crate) lines: usize,
    /// Words of one bit, of two bits, and so on.
    counts: &'static [u8],
    /// What each word brings: a digit for so many signs, a letter for escapes with them. Empty where words are signed.
    marks: &'static [u8],
}

/// What follows a word of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bits of signs.
    pub(crate) signs: usize,
    /// Escape sequences behind them.
    pub(crate) escapes: usize,
}

impl Book {
    /// Passes over a word.
    pub(crate) fn pass(&self, bits: &mut BitReader<'_>) -> Option<Mark> {
        let (mut word, mut first, mut index) = (0_usize, 0_usize, 0_usize);
        for count in self.counts {
            let count = usize::from(*count);
            word = word << 1 | usize::from(bits.flag()?);
            // Words of this length begin at `first`; none that is shorter was found, so the word is not below it.
            if word < first + count {
                let mark = self.marks.get(index + word - first);
                return Some(mark.map_or(Mark { signs: 0, escapes: 0 }, |mark| Mark::of(*mark)));
            }
            index += count;
            first = (first + count) << 1;
        }
        None
    }
}

impl Mark {
    const fn of(mark: u8) -> Self {
        match mark {
            b'a' => Self { signs: 1, escapes: 1 },
            b'b' => Self { signs: 2, escapes: 1 },
            b'c' => Self { signs: 2, escapes: 2 },
            digit => Self { signs: digit.saturating_sub(b'0') as usize, escapes: 0 },
        }
    }
}

/// The book of spectral data with this number; `None` where a number stands for no data.
pub(crate) fn book(number: u8) -> Option<&'static Book> {
    SPECTRAL.get(usize::from(number).checked_sub(1)?)
}

/// Differences of scale factors.
pub(crate) static SCALE_FACTORS: Book =
    Book { lines: 0, counts: &[1, 0, 1, 3, 2, 4, 3, 5, 4, 6, 6, 6, 5, 8, 4, 7, 3, 7, 46], marks: b"" };

static SPECTRAL: [Book; 11] = [
    Book { lines: 4, counts: &[1, 0, 0, 0, 8, 0, 24, 0, 24, 8, 16], marks: b"" },
    Book { lines: 4, counts: &[0, 0, 1, 1, 7, 24, 15, 19, 14], marks: b"" },
    Book {
        lines: 4,
        counts: &[1, 0, 0, 4, 2, 6, 3, 5, 15, 15, 8, 9, 3, 3, 5, 2],
        marks: b"011112222232343311223232331221224334323244332333223243344233333344442233434443233",
    },
    Book {
        lines: 4,
        counts: &[0, 0, 0, 10, 6, 0, 9, 21, 8, 14, 11, 2],
        marks: b"433331202222121144443333333333332222222222221111444444333333333433344422222243333",
    },
    Book { lines: 2, counts: &[1, 0, 0, 4, 4, 0, 4, 12, 12, 12, 18, 10, 4], marks: b"" },
    Book { lines: 2, counts: &[0, 0, 0, 9, 0, 16, 13, 8, 23, 8, 4], marks: b"" },
    Book {
        lines: 2,
        counts: &[1, 0, 2, 1, 0, 4, 5, 10, 14, 15, 8, 4],
        marks: b"0112221122211222222221122212122222222211222222222222112222222222",
    },
    Book {
        lines: 2,
        counts: &[0, 0, 1, 5, 7, 10, 14, 15, 8, 4],
        marks: b"2212120112222222221122222222221212222222121222222222221212222112",
    },
    Book {
        lines: 2,
        counts: &[1, 0, 2, 1, 0, 4, 3, 8, 11, 20, 31, 38, 32, 14, 4],
        marks: b"\
            011222112221122222222112222222121222222221222222221222122221222211222222222222212221222222222222\
            2222222212212222222122222222222222212212222122222222222222222222222222222",
    },
    Book {
        lines: 2,
        counts: &[0, 0, 0, 3, 8, 14, 17, 25, 31, 41, 22, 8],
        marks: b"\
            222211222221122220221122222222222212122222222222212122222222222222222212222212222222222222222212\
            1222222212222221222222222222222221212122222222222222212122212221222222122",
    },
    Book {
        lines: 2,
        counts: &[0, 0, 0, 2, 6, 7, 16, 59, 55, 95, 43, 6],
        marks: b"\
            02c11222222121222222211222222222222222bbbbb2b121b2bbbb22222bb22bbb22b2bbb2b22bb2221bb222212bb22b\
            2b2222222b221222222122222222222222122222222222a222222a212222222222222222222222222222221222222222\
            222222222122222222222222222222222222211222222222222222222222222221221212221222221122221221211211\
            2",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Words, and the sum of two to the minus length of each, in units of the longest.
    fn facts(book: &Book) -> (usize, u64, u64) {
        let sum = |at: usize| u64::from(book.counts[at]) << (book.counts.len() - 1 - at);
        let words = book.counts.iter().copied().map(usize::from).sum();
        (words, (0..book.counts.len()).map(sum).sum(), 1 << book.counts.len())
    }

    #[test]
    fn books_are_complete_and_say_something_of_each_word() {
        let sizes = [81, 81, 81, 81, 81, 81, 64, 64, 169, 169, 289];
        for (book, size) in SPECTRAL.iter().zip(sizes).chain([(&SCALE_FACTORS, 121)]) {
            let (words, sum, whole) = facts(book);
            assert_eq!((words, sum), (size, whole), "{book:?}");
            assert!(book.marks.is_empty() || book.marks.len() == size, "{book:?}");
        }
    }

    /// Of a book whose words stand for `lines` values from 0 to `most`, as many bring `signs` as have that many values
    /// other than zero.
    #[test]
    fn as_many_words_bring_signs_as_there_are_ways_to_be_other_than_zero() {
        for (number, most) in [(3, 2_usize), (4, 2), (7, 7), (8, 7), (9, 12), (10, 12), (11, 16)] {
            let book = book(number).unwrap();
            let ways = [[1, 2, 1, 0, 0], [1, 4, 6, 4, 1]][usize::from(book.lines == 4)];
            for (signs, ways) in ways.into_iter().enumerate() {
                let found = book.marks.iter().filter(|mark| Mark::of(**mark).signs == signs).count();
                assert_eq!(found, ways * most.pow(signs as u32), "{number} {signs}");
            }
        }
        let escapes = |count| SPECTRAL[10].marks.iter().filter(|mark| Mark::of(**mark).escapes == count).count();
        assert_eq!((escapes(1), escapes(2)), (2 * 16, 1));
    }

    #[test]
    fn words_are_found_by_their_bits() {
        #[track_caller]
        fn check(book: &Book, word: &[u8], want: Option<(usize, usize, usize)>) {
            let mut bits = BitReader::new(word);
            let found = book.pass(&mut bits);
            assert_eq!(found.map(|mark| (bits.position(), mark.signs, mark.escapes)), want);
        }
        check(&SPECTRAL[0], &[0], Some((1, 0, 0)));
        check(&SPECTRAL[6], &[0b1111_1111, 0b1111_0000], Some((12, 2, 0)));
        check(&SPECTRAL[10], &[0b0010_0000], Some((5, 2, 2)));
        check(&SPECTRAL[10], &[0b1111_1111], None);
        check(&SCALE_FACTORS, &[0b1000_0000], Some((3, 0, 0)));
    }
}
