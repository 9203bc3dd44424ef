//! Footers of spans: any end of a file is answered, and what is accepted reads back.

#![no_main]

use kithara_assets::format::Footer;
use libfuzzer_sys::fuzz_target;

/// The checksum of a trailer and the mark at its end.
const SEAL: usize = 12;

fuzz_target!(|data: &[u8]| {
    let Some((len, file)) = data.split_first_chunk::<8>() else { return };
    look_at(file, file.len() as u64);
    look_at(file, u64::from_le_bytes(*len));
    // With the mark and a checksum that are right, the fields themselves are looked at.
    if file.len() > SEAL {
        let mut sealed = file.to_vec();
        let end = sealed.len() - SEAL;
        let sum = crc32fast::hash(&sealed[..end]);
        sealed[end..end + 4].copy_from_slice(&sum.to_le_bytes());
        sealed[end + 4..].copy_from_slice(b"kitspan\n");
        look_at(&sealed, sealed.len() as u64);
        let _ = Footer::decode(&sealed);
    }
});

fn look_at(end: &[u8], file_len: u64) {
    let Ok(len) = Footer::encoded_len(end, file_len) else { return };
    assert!(len as u64 <= file_len, "a footer lies within its file");
    let Some(at) = end.len().checked_sub(len) else { return };
    if let Ok(footer) = Footer::decode(&end[at..]) {
        let again = footer.encode().expect("what was read can be written");
        assert_eq!(Footer::decode(&again).as_ref(), Ok(&footer));
    }
}
