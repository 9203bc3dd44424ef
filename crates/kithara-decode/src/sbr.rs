//! Telling AAC from HE-AAC where only the packets tell (implicit signalling, ISO/IEC 14496-3 section 1.6.5.3).
//!
//! Band replication travels in a fill element behind the channels of a raw data block. Where that element begins is
//! known only to who decodes the channels; that it ends with the block is known to everyone. So each bit position is
//! tried: a fill element with band replication inside, then nothing but fill elements, then the end, then less than a
//! byte of padding. Noise passes for that in about one packet of sixty, HE-AAC in every one.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use crate::{
    error::DecodeError,
    format::{CodedPacket, Format, SoundCodec},
    input::{Found, Input},
};

/// Packets looked at before the answer counts.
const PACKETS: usize = 4;

/// Sits behind an input and resolves what [`Format::may_be_he_aac`] leaves open; packets wait meanwhile.
#[derive(Debug)]
pub(crate) struct SbrGate {
    input: Input,
    undecided: Option<Format>,
    waiting: Vec<CodedPacket>,
    ready: VecDeque<Found>,
}

impl SbrGate {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, undecided: None, waiting: Vec::new(), ready: VecDeque::new() }
    }

    pub(crate) fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Forgets what waits: the input moves elsewhere.
    pub(crate) fn clear(&mut self) {
        self.undecided = None;
        self.waiting.clear();
        self.ready.clear();
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Found>, DecodeError>> {
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Poll::Ready(Ok(Some(found)));
            }
            let found = match self.input.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(found)) => found,
            };
            match found {
                Some(Found::Format(format)) if format.may_be_he_aac => {
                    self.decide();
                    self.undecided = Some(format);
                }
                Some(Found::Packet(packet)) if self.undecided.is_some() => {
                    self.waiting.push(packet);
                    if self.waiting.len() == PACKETS {
                        self.decide();
                    }
                }
                // Tells nothing of the packets that wait.
                Some(Found::Damage) => return Poll::Ready(Ok(Some(Found::Damage))),
                // It says nothing about the sound.
                Some(found @ Found::Metadata(_)) => return Poll::Ready(Ok(Some(found))),
                found if self.undecided.is_none() => return Poll::Ready(Ok(found)),
                found => {
                    self.decide();
                    self.ready.extend(found);
                    if self.ready.is_empty() {
                        return Poll::Ready(Ok(None));
                    }
                }
            }
        }
    }

    fn decide(&mut self) {
        let Some(format) = self.undecided.take() else { return };
        let is_he = !self.waiting.is_empty() && self.waiting.iter().all(|packet| has_sbr(&packet.data));
        let codec = if is_he { SoundCodec::HeAac } else { format.codec };
        self.ready.push_back(Found::Format(Format { codec, may_be_he_aac: false, ..format }));
        self.ready.extend(self.waiting.drain(..).map(Found::Packet));
    }
}

/// Whether a raw data block may end with band replication.
fn has_sbr(block: &[u8]) -> bool {
    /// Bits of the decoder's input buffer, 6,144 for each of at most eight channels, bound a block. Whatever is longer is
    /// none, and not worth the time.
    const LONGEST: usize = 8 << 10;
    if block.len() > LONGEST {
        return false;
    }
    let bits = Bits(block);
    // Whether only fill elements lie between a place and the end of the block, from the back: each place asks one behind it.
    let mut ends = vec![false; bits.len() + 1];
    (0..bits.len()).rev().any(|at| {
        let element = bits.fill_element(at);
        ends[at] = element.map_or_else(|| bits.is_end(at), |(_, end)| ends[end]);
        // EXT_SBR_DATA and EXT_SBR_DATA_CRC.
        element.is_some_and(|(payload, end)| {
            payload < end && matches!(bits.read(payload, 4), Some(0xD | 0xE)) && ends[end]
        })
    })
}

/// A block as bits. Positions count from its first one.
struct Bits<'a>(&'a [u8]);

impl Bits<'_> {
    fn len(&self) -> usize {
        self.0.len() * 8
    }

    /// Up to 8 bits.
    fn read(&self, at: usize, count: usize) -> Option<u32> {
        let first = u32::from(*self.0.get(at / 8)?);
        let second = self.0.get(at / 8 + 1).map(|byte| u32::from(*byte));
        let spill = (at % 8 + count).saturating_sub(8);
        let window = first << 8 | if spill > 0 { second? } else { 0 };
        Some((window >> (16 - at % 8 - count)) & ((1 << count) - 1))
    }

    /// A fill element: where its payload begins and ends.
    fn fill_element(&self, at: usize) -> Option<(usize, usize)> {
        const ID_FIL: u32 = 6;
        #[cfg(test)]
        tests::LOOKED.with(|looked| looked.set(looked.get() + 1));
        if self.read(at, 3)? != ID_FIL {
            return None;
        }
        let short = self.read(at + 3, 4)? as usize;
        let (payload, bytes) =
            if short == 15 { (at + 15, self.read(at + 7, 8)? as usize + 14) } else { (at + 7, short) };
        let end = payload + bytes * 8;
        (end < self.len()).then_some((payload, end))
    }

    /// Whether the block ends here, but for less than a byte of padding.
    fn is_end(&self, at: usize) -> bool {
        const ID_END: u32 = 7;
        self.read(at, 3) == Some(ID_END) && self.len() - (at + 3) < 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// Places at which a fill element was looked for.
        pub(super) static LOOKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// A block of `lead` arbitrary bits, the given fields, and padding.
    fn block(lead: usize, fields: &[(u32, usize)]) -> Vec<u8> {
        let mut bits: Vec<bool> = (0..lead).map(|at| at % 5 == 1).collect();
        for (value, count) in fields {
            bits.extend((0..*count).rev().map(|bit| value >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), false);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
    }

    #[track_caller]
    fn check(want: bool, fields: &[(u32, usize)]) {
        for lead in 0..40 {
            assert_eq!(has_sbr(&block(lead, fields)), want, "{lead}");
        }
    }

    #[test]
    fn band_replication_at_the_end_is_found_at_any_place() {
        check(true, &[(6, 3), (2, 4), (0xD, 4), (0x555, 12), (7, 3)]);
        check(true, &[(6, 3), (2, 4), (0xE, 4), (0x555, 12), (6, 3), (1, 4), (0, 8), (6, 3), (0, 4), (7, 3)]);
        let long: Vec<_> =
            [(6, 3), (15, 4), (3, 8), (0xD, 4)].into_iter().chain([(0, 4); 33]).chain([(7, 3)]).collect();
        check(true, &long);
    }

    /// Places looked at per bit stay few, whatever the block is made of: this one is nothing but beginnings of fill elements.
    #[test]
    fn each_place_is_looked_at_once() {
        let chain: Vec<u8> = [0b1100_0011, 0b1010_0000].repeat(4 << 10);
        assert!(!has_sbr(&chain));
        let looked = LOOKED.with(std::cell::Cell::get);
        assert!(looked <= chain.len() * 8, "{looked}");
    }

    #[test]
    fn other_fillings_and_ends_are_none() {
        check(false, &[(7, 3)]);
        check(false, &[(6, 3), (2, 4), (0x1, 4), (0x111, 12), (7, 3)]);
        check(false, &[(6, 3), (2, 4), (0xD, 4), (0x111, 12), (7, 3), (0, 16)]);
        assert!(!has_sbr(&[]));
        assert!(!has_sbr(&block(0, &[(6, 3), (2, 4), (0xD, 4), (0x555, 12), (7, 3)]).repeat(3000)));
        assert!(!has_sbr(&[0xFF; 40]));
    }
}
