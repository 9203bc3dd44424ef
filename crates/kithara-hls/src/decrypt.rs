//! AES-128-CBC as the bytes arrive (RFC 8216 section 4.3.2.4).
//!
//! Chunks of ciphertext go in, chunks of plaintext come out; nothing waits for the whole. The last two blocks are held
//! back until the end is known: the last one has the padding to be taken off, and whatever garbled the one before it
//! shows in the padding only.
//!
//! An excerpt, a single picture by byte range, is cut out of a ciphertext that goes on around it: blocks around it are
//! asked for as well, and taken off again (RFC 8216 section 6.3.6).

use std::ops::Range;

use aes::{
    Aes128,
    cipher::{Array, BlockModeDecrypt, KeyIvInit, consts::U16},
};
use bytes::Bytes;
use zeroize::Zeroizing;

type Block = Array<u8, U16>;

/// Bytes of an AES block.
pub(crate) const BLOCK: usize = 16;

/// A decryptor of one unit.
pub(crate) struct CbcStream {
    cipher: cbc::Decryptor<Aes128>,
    key: Zeroizing<[u8; BLOCK]>,
    /// What the next block is chained to: the block before it, or the initialization vector.
    chain: [u8; BLOCK],
    /// The end of the ciphertext so far: less than two blocks, or exactly two.
    held: Vec<u8>,
    excerpt: Option<Excerpt>,
}

/// What is left to be taken of a plaintext.
#[derive(Clone, Copy)]
struct Excerpt {
    skip: u64,
    take: u64,
}

impl Excerpt {
    fn cut(&mut self, plain: Bytes) -> Bytes {
        let len = plain.len() as u64;
        let from = self.skip.min(len);
        let to = from + self.take.min(len - from);
        (self.skip, self.take) = (self.skip - from, self.take - (to - from));
        let index = |at: u64| usize::try_from(at).expect("it is below the length of the chunk");
        plain.slice(index(from)..index(to))
    }
}

/// What must be asked for to decrypt this range of a ciphertext: whole blocks, and the one before, to which they are chained.
pub(crate) fn widened(range: &Range<u64>) -> Range<u64> {
    let block = BLOCK as u64;
    let first = range.start / block * block;
    first.saturating_sub(block)..range.end.checked_next_multiple_of(block).unwrap_or(range.end)
}

impl Clone for CbcStream {
    fn clone(&self) -> Self {
        let cipher = cbc::Decryptor::new((&*self.key).into(), (&self.chain).into());
        Self { cipher, key: self.key.clone(), chain: self.chain, held: self.held.clone(), excerpt: self.excerpt }
    }
}

/// Bytes that may be the last two blocks.
const HELD: usize = 2 * BLOCK;

/// Why a ciphertext cannot be what was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCiphertext {
    /// Its length is no multiple of the block size, or zero: the end is missing.
    #[error("the ciphertext ends inside a block")]
    Torn,
    /// The padding is wrong: another key, or another ciphertext.
    #[error("the padding is wrong")]
    Padding,
}

impl CbcStream {
    pub(crate) fn new(key: &[u8; 16], iv: &[u8; 16]) -> Self {
        let held = Vec::with_capacity(HELD + BLOCK);
        Self {
            cipher: cbc::Decryptor::new(key.into(), iv.into()),
            key: Zeroizing::new(*key),
            chain: *iv,
            held,
            excerpt: None,
        }
    }

    /// A decryptor of what is [asked for](widened) for this range of a ciphertext that begins with `iv`. At other places
    /// the first block stands in for the vector, and is taken off.
    pub(crate) fn excerpt(key: &[u8; 16], iv: &[u8; 16], range: &Range<u64>) -> Self {
        let skip = range.start - widened(range).start;
        let excerpt = Excerpt { skip, take: range.end.saturating_sub(range.start) };
        Self { excerpt: Some(excerpt), ..Self::new(key, iv) }
    }

    /// Decrypts what can be decrypted. What may be one of the last two blocks stays behind.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Bytes {
        let plain = self.decrypt_blocks(chunk);
        match &mut self.excerpt {
            Some(excerpt) => excerpt.cut(plain),
            None => plain,
        }
    }

    fn decrypt_blocks(&mut self, chunk: &[u8]) -> Bytes {
        let total = self.held.len() + chunk.len();
        let ready = total.saturating_sub(HELD).div_ceil(BLOCK) * BLOCK;
        if ready == 0 {
            self.held.extend_from_slice(chunk);
            return Bytes::new();
        }
        let mut plain = vec![0; ready];
        let (head, rest) = chunk.split_at(self.first_blocks(chunk.len()));
        self.held.extend_from_slice(head);
        let from_held = self.held.len() / BLOCK * BLOCK;
        let from_held = from_held.min(ready);
        let (first, second) = plain.split_at_mut(from_held);
        self.decrypt_held(first);
        let direct = second.len();
        decrypt(&mut self.cipher, &rest[..direct], second);
        self.chain_to(&rest[..direct]);
        self.held.extend_from_slice(&rest[direct..]);
        plain.into()
    }

    /// Decrypts the last blocks and takes the padding off.
    pub(crate) fn finish(mut self) -> Result<Bytes, BadCiphertext> {
        if self.held.is_empty() || !self.held.len().is_multiple_of(BLOCK) {
            return Err(BadCiphertext::Torn);
        }
        let mut last = vec![0; self.held.len()];
        self.decrypt_held(&mut last);
        if let Some(mut excerpt) = self.excerpt {
            return Ok(excerpt.cut(last.into()));
        }
        let padding = usize::from(last[last.len() - 1]);
        let valid = (1..=BLOCK).contains(&padding)
            && last[last.len() - padding..].iter().all(|byte| usize::from(*byte) == padding);
        if !valid {
            return Err(BadCiphertext::Padding);
        }
        last.truncate(last.len() - padding);
        Ok(last.into())
    }

    /// How many bytes of a chunk complete the block that is held, so that the rest can be decrypted where it lies.
    fn first_blocks(&self, chunk_len: usize) -> usize {
        let missing = (BLOCK - self.held.len() % BLOCK) % BLOCK;
        missing.min(chunk_len)
    }

    fn decrypt_held(&mut self, out: &mut [u8]) {
        let count = out.len();
        decrypt(&mut self.cipher, &self.held[..count], out);
        if let Some(block) = self.held[..count].last_chunk() {
            self.chain = *block;
        }
        self.held.drain(..count);
    }

    fn chain_to(&mut self, ciphertext: &[u8]) {
        if let Some(block) = ciphertext.last_chunk() {
            self.chain = *block;
        }
    }
}

/// From one buffer to another, whole blocks.
fn decrypt(cipher: &mut cbc::Decryptor<Aes128>, from: &[u8], to: &mut [u8]) {
    let (from, _) = Block::slice_as_chunks(from);
    let (to, _) = Block::slice_as_chunks_mut(to);
    cipher.decrypt_blocks_b2b(from, to).expect("both buffers have the same number of blocks");
}

/// The length of the plaintext, from the length of the ciphertext and its last two blocks (the first of which stands in
/// for the IV).
pub(crate) fn plain_len(key: &[u8; 16], iv: &[u8; 16], tail: &[u8], cipher_len: u64) -> Result<u64, BadCiphertext> {
    let (iv, last) = match tail.len() {
        16 => (*iv, tail),
        32 => {
            let (before, last) = tail.split_at(BLOCK);
            (before.try_into().expect("half of 32 bytes are 16"), last)
        }
        _ => return Err(BadCiphertext::Torn),
    };
    let mut stream = CbcStream::new(key, &iv);
    stream.push(last);
    let kept = stream.finish()?.len() as u64;
    if cipher_len == 0 || !cipher_len.is_multiple_of(BLOCK as u64) {
        return Err(BadCiphertext::Torn);
    }
    Ok(cipher_len - BLOCK as u64 + kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::{BlockModeEncrypt, block_padding::Pkcs7};

    const KEY: [u8; 16] = *b"0123456789abcdef";
    const IV: [u8; 16] = [7; 16];

    fn encrypt(plain: &[u8]) -> Vec<u8> {
        let mut buf = [plain, &[0; BLOCK]].concat();
        let cipher = cbc::Encryptor::<Aes128>::new(&KEY.into(), &IV.into());
        cipher.encrypt_padded::<Pkcs7>(&mut buf, plain.len()).unwrap().to_vec()
    }

    fn decrypt_in(chunk: usize, cipher: &[u8]) -> Result<Vec<u8>, BadCiphertext> {
        let mut stream = CbcStream::new(&KEY, &IV);
        let mut plain = Vec::new();
        cipher.chunks(chunk).for_each(|chunk| plain.extend_from_slice(&stream.push(chunk)));
        plain.extend_from_slice(&stream.finish()?);
        Ok(plain)
    }

    #[test]
    fn any_chunks_give_the_plaintext() {
        for len in [0, 1, 15, 16, 17, 31, 32, 33, 1_000] {
            let plain: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
            let cipher = encrypt(&plain);
            for chunk in [1, 2, 15, 16, 17, 31, 32, 33, 500, 2_000] {
                assert_eq!(decrypt_in(chunk, &cipher).as_ref(), Ok(&plain), "{len} bytes in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn a_ciphertext_cut_inside_a_block_is_torn() {
        assert_eq!(decrypt_in(7, &encrypt(&[1; 40])[..40]), Err(BadCiphertext::Torn));
        assert_eq!(decrypt_in(7, &[]), Err(BadCiphertext::Torn));
    }

    #[test]
    fn a_ciphertext_cut_between_blocks_has_wrong_padding() {
        assert_eq!(decrypt_in(7, &encrypt(&[0; 40])[..32]), Err(BadCiphertext::Padding));
    }

    #[test]
    fn what_a_wrong_padding_garbles_is_held_back() {
        let plain = [5; 100];
        let mut cipher = encrypt(&plain);
        // A bit of the block before the last: that block is noise, and the padding is wrong.
        let at = cipher.len() - BLOCK - 1;
        cipher[at] ^= 0x80;
        for chunk in [1, 16, 48, 500] {
            let mut stream = CbcStream::new(&KEY, &IV);
            let seen: Vec<u8> = cipher.chunks(chunk).flat_map(|chunk| stream.push(chunk)).collect();
            assert!(plain.starts_with(&seen), "{} bytes in chunks of {chunk}", seen.len());
            assert_eq!(stream.finish(), Err(BadCiphertext::Padding));
        }
    }

    #[test]
    fn an_excerpt_is_cut_out_of_the_blocks_around_it() {
        let plain: Vec<u8> = (0..200).collect();
        let cipher = encrypt(&plain);
        for range in [0..200, 0..1, 3..20, 15..17, 16..32, 17..18, 31..64, 40..199, 199..200] {
            let wide = widened(&range);
            let index = |range: &Range<u64>| range.start as usize..range.end as usize;
            for chunk in [1, 16, 33, 500] {
                let mut stream = CbcStream::excerpt(&KEY, &IV, &range);
                let mut found = Vec::new();
                cipher[index(&wide)].chunks(chunk).for_each(|chunk| found.extend_from_slice(&stream.push(chunk)));
                found.extend_from_slice(&stream.finish().unwrap());
                assert_eq!(found, plain[index(&range)], "{range:?} in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn the_length_is_found_from_the_last_two_blocks() {
        for len in [0_usize, 15, 16, 17, 100] {
            let cipher = encrypt(&vec![9; len]);
            let tail = &cipher[cipher.len().saturating_sub(32)..];
            assert_eq!(plain_len(&KEY, &IV, tail, cipher.len() as u64), Ok(len as u64));
        }
    }
}
