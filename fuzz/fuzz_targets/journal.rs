//! Journal records and their neighbours: any bytes are answered, and what is accepted is what was written.

#![no_main]

use kithara_assets::format::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for slot in data.chunks_exact(Record::LEN) {
        let slot = slot.first_chunk::<{ Record::LEN }>().expect("a whole slot");
        if let Ok(record) = Record::decode(slot) {
            let _ = (record.stamp(), format!("{record:?}"));
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
        // With a checksum that is right, the fields themselves are looked at.
        let mut sealed = *slot;
        let sum = crc32fast::hash(&sealed[4..]);
        sealed[..4].copy_from_slice(&sum.to_le_bytes());
        if let Ok(record) = Record::decode(&sealed) {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }
});
