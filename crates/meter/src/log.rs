//! The write-ahead log of charges: one append-only file of fixed-size frames.
//!
//! A header of [`FRAME`] bytes (magic, version, chain, contract, authorizer, generation, checksum), then frames of
//! [`FRAME`] bytes: sequence number, first sequence number of the batch it was flushed with, kind, fields, zeros, and a
//! checksum keyed by the header. Frames never straddle a disk sector, so a frame that was not written whole ends in
//! zeros or in the end of the file. That tells the torn tail of an unacknowledged batch, which is cut off, from
//! damage, which is reported: a frame whose checksum is there and wrong, or one that is missing although a later batch
//! is there.
//!
//! The file is lengthened by zeros ahead of the frames, [`RESERVE`] bytes at a time: a flush that need not write the
//! file's new length takes a quarter less.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256};
use residual_primitives::{Amount, signed::ChannelConfig};

use crate::{
    channels::{Channels, SignedVoucher},
    durable::{self, FileError},
    fields::{CHECKSUM, Fields, checksum, put_config, put_voucher},
};

/// Bytes of a frame: half a sector.
pub(crate) const FRAME: usize = 256;
const BODY: usize = FRAME - CHECKSUM;
/// How much the file is lengthened at a time.
const RESERVE: usize = 1 << 20;
const MAGIC: [u8; 8] = *b"RSDMETER";
const VERSION: u16 = 1;

const KIND_OPENED: u8 = 1;
const KIND_CHARGED: u8 = 2;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no log, or its first bytes are damaged.
    #[error("expected a log of charges in {}, found another or a damaged header; restore it from the last good copy", path.display())]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// Written by another version of the program.
    #[error("expected version {VERSION} of the log in {}, found {found}; use the program that wrote it", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
    /// Of another chain, contract or receiver's authorizer.
    #[error(
        "expected in {} the log of authorizer {expected}, found that of {found} or of another chain or contract; each \
         gateway process has a directory of its own",
        path.display()
    )]
    OtherMeter {
        /// The file.
        path: PathBuf,
        /// Who opens it.
        expected: Address,
        /// Whose it is.
        found: Address,
    },
    /// Bytes that had been flushed are not what was written.
    #[error(
        "expected the charge that was flushed at byte {offset} of {}, found it damaged ({what}); stop serving, keep the \
         file, restore it from a copy, or start an empty one after claiming what the copy holds",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One use that was paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChargeRecord {
    pub(crate) signed: SignedVoucher,
    /// Charged on the channel with this use, cumulative.
    pub(crate) charged_total: Amount,
    pub(crate) amount: Amount,
    pub(crate) request_id: B256,
    pub(crate) request_digest: B256,
    pub(crate) at_s: u64,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// The channel that later charges name by its id.
    Opened(ChannelConfig),
    Charged(ChargeRecord),
}

impl Record {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Opened(config) => {
                out.push(KIND_OPENED);
                put_config(out, config);
            }
            Self::Charged(charge) => {
                out.push(KIND_CHARGED);
                put_voucher(out, &charge.signed);
                out.extend_from_slice(&charge.charged_total.0.to_be_bytes());
                out.extend_from_slice(&charge.amount.0.to_be_bytes());
                out.extend_from_slice(charge.request_id.as_slice());
                out.extend_from_slice(charge.request_digest.as_slice());
                out.extend_from_slice(&charge.at_s.to_be_bytes());
            }
        }
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let [kind] = fields.bytes()?;
        match kind {
            KIND_OPENED => Some(Self::Opened(fields.config()?)),
            KIND_CHARGED => Some(Self::Charged(ChargeRecord {
                signed: fields.voucher()?,
                charged_total: fields.amount()?,
                amount: fields.amount()?,
                request_id: fields.word()?,
                request_digest: fields.word()?,
                at_s: fields.u64()?,
            })),
            _ => None,
        }
    }
}

/// Who writes a log, which its header binds.
#[derive(Debug, Clone)]
struct Owner {
    chain_id: u64,
    channels: Address,
    receiver_authorizer: Address,
}

/// A log that is open for writing. It does not lock the file: the directory's owner does.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    owner: Owner,
    generation: u64,
    key: [u8; 32],
    file: File,
    /// Frames in the file, so also the next frame's sequence number.
    frames: u64,
    /// Where the zeros end that were written ahead, or the frames when there are none.
    reserved: u64,
    /// Keeps its space between batches.
    buffer: Vec<u8>,
}

/// Why a log could not be rewritten.
#[derive(Debug)]
pub(crate) struct RewriteError {
    pub(crate) source: FileError,
    /// The old file is whole and still in its place, so writing may go on.
    pub(crate) intact: bool,
}

impl Log {
    /// Opens the log, or begins one, and hands each whole record to `each` in order. `each` answers with what is wrong
    /// when a record contradicts those before it. A torn tail is cut off; how long it was is returned.
    pub(crate) fn open(
        path: PathBuf,
        channels: &Channels,
        receiver_authorizer: Address,
        mut each: impl FnMut(Record) -> Result<(), &'static str>,
    ) -> Result<(Self, u64), LogError> {
        let owner =
            Owner { chain_id: channels.chain_id(), channels: channels.address(), receiver_authorizer };
        if !fs::exists(&path).map_err(durable::failed("look for", &path))? {
            durable::replace(&path, &owner.header(0))?;
        }
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(durable::failed("open", &path))?;
        let reading = |error| LogError::from(durable::failed("read", &path)(error));
        let length = file.metadata().map_err(reading)?.len();
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut header = [0; FRAME];
        if read_up_to(&mut reader, &mut header).map_err(reading)? < FRAME {
            return Err(LogError::Header { path });
        }
        let generation = owner.read_header(&header, &path)?;
        let key = frame_key(&header);

        let mut frames = 0;
        let mut next = 0;
        let mut torn = false;
        let mut frame = [0; FRAME];
        let mut torn_end = 0;
        loop {
            let read = read_up_to(&mut reader, &mut frame).map_err(reading)?;
            if read < FRAME {
                if read > 0 {
                    torn_end = offset(next) + read as u64;
                }
                break;
            }
            let (body, check) =
                frame.split_last_chunk::<CHECKSUM>().expect("a frame is longer than a checksum");
            let sequence = next;
            next += 1;
            let damaged = |at: u64, what| LogError::Damaged { path: path.clone(), offset: offset(at), what };
            if *check == [0; CHECKSUM] {
                torn = true;
                if body.iter().any(|byte| *byte != 0) {
                    torn_end = offset(next);
                }
                continue;
            }
            if checksum(&key, body) != *check {
                return Err(damaged(sequence, "its checksum is wrong"));
            }
            let mut fields = Fields(body);
            let (Some(found), Some(batch)) = (fields.u64(), fields.u64()) else {
                unreachable!("a frame begins with two numbers");
            };
            if found != sequence || batch > sequence {
                return Err(damaged(sequence, "it is the frame of another place"));
            }
            if torn {
                // Of the same flush as the hole it may have reached the disk first; of a later one it proves that the
                // hole had been flushed.
                if batch > frames {
                    return Err(damaged(frames, "it is missing although later ones are there"));
                }
                torn_end = offset(next);
                continue;
            }
            let record =
                Record::decode(&mut fields).ok_or_else(|| damaged(sequence, "its kind is unknown"))?;
            each(record).map_err(|what| damaged(sequence, what))?;
            frames += 1;
        }
        let kept = offset(frames);
        if length > kept {
            file.set_len(kept)
                .and_then(|()| file.sync_all())
                .map_err(durable::failed("cut the tail of", &path))?;
        }
        let mut log = Self { path, owner, generation, key, file, frames, reserved: kept, buffer: Vec::new() };
        log.seek_end().map_err(durable::failed("seek in", &log.path))?;
        Ok((log, torn_end.saturating_sub(kept)))
    }

    /// Where the next frame goes.
    fn seek_end(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset(self.frames))).map(drop)
    }

    /// Bytes of the file up to the end of the last frame.
    pub(crate) fn bytes(&self) -> u64 {
        offset(self.frames)
    }

    /// Makes every later write fail as a broken disk would.
    #[cfg(test)]
    pub(crate) fn break_writes(&mut self) {
        self.file = File::open(&self.path).expect("the log is there to be read");
    }

    /// Writes the records as one batch and flushes them. After an error the file's end is unknown: the log must not be
    /// written any more, but opened anew.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<(), FileError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        for (sequence, record) in (self.frames..).zip(records) {
            put_frame(&mut buffer, &self.key, sequence, self.frames, record);
        }
        let frames = self.frames + records.len() as u64;
        let lengthen = offset(frames) > self.reserved;
        if lengthen {
            buffer.resize(buffer.len() + RESERVE, 0);
        }
        let written = self.file.write_all(&buffer).and_then(|()| self.file.sync_data());
        self.buffer = buffer;
        self.frames = frames;
        if lengthen {
            self.reserved = offset(frames) + RESERVE as u64;
        }
        // Lengthening has left the file's position behind the zeros.
        let placed = if lengthen { written.and_then(|()| self.seek_end()) } else { written };
        placed.map_err(durable::failed("append to", &self.path))
    }

    /// Replaces the log by one of the given records only.
    pub(crate) fn rewrite(&mut self, records: &[Record]) -> Result<(), RewriteError> {
        let generation = self.generation + 1;
        let header = self.owner.header(generation);
        let key = frame_key(&header);
        let frames = (0..).zip(records).map(|(sequence, record)| {
            let mut frame = Vec::with_capacity(FRAME);
            // A batch each: all are flushed before the file gets its name.
            put_frame(&mut frame, &key, sequence, sequence, record);
            frame
        });
        let file = durable::draft(&self.path, std::iter::once(header.to_vec()).chain(frames))
            .map_err(|source| RewriteError { source, intact: true })?;
        let adopt = durable::adopt_draft(&self.path);
        self.file = file;
        (self.generation, self.key, self.frames) = (generation, key, records.len() as u64);
        self.reserved = offset(self.frames);
        adopt.map_err(|source| RewriteError { source, intact: false })
    }
}

impl Owner {
    fn header(&self, generation: u64) -> [u8; FRAME] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.chain_id.to_be_bytes());
        bytes.extend_from_slice(self.channels.as_slice());
        bytes.extend_from_slice(self.receiver_authorizer.as_slice());
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.resize(BODY, 0);
        let check = checksum(&header_key(), &bytes);
        bytes.extend_from_slice(&check);
        bytes.try_into().expect("a body and a checksum make a frame")
    }

    /// Checks the header and returns its generation.
    fn read_header(&self, header: &[u8; FRAME], path: &Path) -> Result<u64, LogError> {
        let (body, check) =
            header.split_last_chunk::<CHECKSUM>().expect("a header is longer than a checksum");
        let whole = checksum(&header_key(), body) == *check;
        let fields = body.strip_prefix(&MAGIC).filter(|_| whole);
        let mut fields = Fields(fields.ok_or_else(|| LogError::Header { path: path.to_owned() })?);
        let version = fields.bytes().map_or(0, u16::from_be_bytes);
        if version != VERSION {
            return Err(LogError::OtherVersion { path: path.to_owned(), found: version });
        }
        let bound = (fields.u64(), fields.address(), fields.address(), fields.u64());
        let (Some(chain_id), Some(channels), Some(authorizer), Some(generation)) = bound else {
            unreachable!("a header is longer than its fields");
        };
        if (chain_id, channels, authorizer) != (self.chain_id, self.channels, self.receiver_authorizer) {
            let expected = self.receiver_authorizer;
            return Err(LogError::OtherMeter { path: path.to_owned(), expected, found: authorizer });
        }
        Ok(generation)
    }
}

/// Where the frame begins in the file, after the header.
fn offset(sequence: u64) -> u64 {
    (sequence + 1) * FRAME as u64
}

fn header_key() -> [u8; 32] {
    blake3::derive_key("Residual meter log header checksum", &MAGIC)
}

fn frame_key(header: &[u8; FRAME]) -> [u8; 32] {
    blake3::derive_key("Residual meter log frame checksum", header)
}

fn put_frame(out: &mut Vec<u8>, key: &[u8; 32], sequence: u64, batch: u64, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&batch.to_be_bytes());
    record.encode(out);
    out.resize(start + BODY, 0);
    let check = checksum(key, &out[start..]);
    out.extend_from_slice(&check);
}

/// Fills the buffer, or as much of it as there is.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
