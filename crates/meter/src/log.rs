//! One segment of the write-ahead log: an append-only file of fixed-size frames.
//!
//! A header of [`FRAME`] bytes (magic, version, chain, contract, authorizer, the segment's number, how many frames the
//! segment before has and how many of its own are the snapshot that it begins with, checksum), then frames of [`FRAME`]
//! bytes: sequence number, first sequence number of the batch it was flushed with, a record, zeros, and a checksum keyed
//! by the header. Frames never straddle a disk sector, so a frame that was not written whole ends in zeros or in the end
//! of the file. That tells the torn tail of an unacknowledged batch, which is cut off, from damage, which is reported: a
//! frame whose checksum is there and wrong, one that is missing although a later batch is there, or one of the snapshot,
//! which was durable before the file had its name.
//!
//! The file is lengthened by zeros ahead of the frames, [`RESERVE`] bytes at a time: a flush that need not write the
//! file's new length takes a quarter less.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use alloy_primitives::Address;

use crate::{
    channels::Channels,
    durable::{self, FileError},
    fields::{CHECKSUM, Fields, checksum},
    record::Record,
};

/// Bytes of a frame: half a sector.
pub(crate) const FRAME: usize = 256;
const BODY: usize = FRAME - CHECKSUM;
/// Bytes of a frame that a record has: those between the two sequence numbers and the checksum.
pub(crate) const RECORD: usize = BODY - 16;
/// How much the file is lengthened at a time.
const RESERVE: usize = 1 << 20;
const MAGIC: [u8; 8] = *b"RSDMETER";
pub(crate) const VERSION: u16 = 2;

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
    /// The file was given the name of another segment.
    #[error("expected segment {expected} in {}, found segment {found}; give the files their names back", path.display())]
    OtherSegment {
        /// The file.
        path: PathBuf,
        /// By its name.
        expected: u64,
        /// By its header.
        found: u64,
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

/// Who writes a log, which its header binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) chain_id: u64,
    pub(crate) channels: Address,
    pub(crate) receiver_authorizer: Address,
}

impl Owner {
    pub(crate) fn new(channels: &Channels, receiver_authorizer: Address) -> Self {
        Self { chain_id: channels.chain_id(), channels: channels.address(), receiver_authorizer }
    }
}

/// The first frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) owner: Owner,
    /// The segment's, from 0.
    pub(crate) number: u64,
    /// Frames of the segment before it, which nothing else tells once that is closed.
    pub(crate) frames_before: u64,
    /// Its own frames that were there when it got its name.
    pub(crate) snapshot: u64,
}

/// Why the first frame is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Damaged,
    OtherVersion(u16),
}

impl Header {
    fn encode(&self) -> [u8; FRAME] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.owner.chain_id.to_be_bytes());
        bytes.extend_from_slice(self.owner.channels.as_slice());
        bytes.extend_from_slice(self.owner.receiver_authorizer.as_slice());
        for number in [self.number, self.frames_before, self.snapshot] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.resize(BODY, 0);
        let check = checksum(&header_key(), &bytes);
        bytes.extend_from_slice(&check);
        bytes.try_into().expect("a body and a checksum make a frame")
    }

    fn decode(frame: &[u8; FRAME]) -> Result<Self, HeaderFault> {
        let (body, check) = frame.split_last_chunk::<CHECKSUM>().expect("a frame is longer than a checksum");
        if checksum(&header_key(), body) != *check {
            return Err(HeaderFault::Damaged);
        }
        let mut fields = Fields(body.strip_prefix(&MAGIC).ok_or(HeaderFault::Damaged)?);
        let version = fields.bytes().map_or(0, u16::from_be_bytes);
        if version != VERSION {
            return Err(HeaderFault::OtherVersion(version));
        }
        let mut read = || {
            let owner = Owner {
                chain_id: fields.u64()?,
                channels: fields.address()?,
                receiver_authorizer: fields.address()?,
            };
            let (number, frames_before, snapshot) = (fields.u64()?, fields.u64()?, fields.u64()?);
            Some(Self { owner, number, frames_before, snapshot })
        };
        read().ok_or(HeaderFault::Damaged)
    }

    /// Checks that it is that of segment `number` of `owner`, which `path` should be.
    pub(crate) fn expect(self, owner: &Owner, number: u64, path: &Path) -> Result<Self, LogError> {
        let path = path.to_owned();
        if self.owner != *owner {
            let (expected, found) = (owner.receiver_authorizer, self.owner.receiver_authorizer);
            return Err(LogError::OtherMeter { path, expected, found });
        }
        if self.number != number {
            return Err(LogError::OtherSegment { path, expected: number, found: self.number });
        }
        Ok(self)
    }
}

impl HeaderFault {
    fn of(self, path: &Path) -> LogError {
        let path = path.to_owned();
        match self {
            Self::Damaged => LogError::Header { path },
            Self::OtherVersion(found) => LogError::OtherVersion { path, found },
        }
    }
}

/// Why the next frame is no record.
#[derive(Debug)]
pub(crate) enum FrameFault {
    Read(io::Error),
    Damaged { offset: u64, what: &'static str },
}

impl FrameFault {
    pub(crate) fn of(self, path: &Path) -> LogError {
        match self {
            Self::Read(error) => durable::failed("read", path)(error).into(),
            Self::Damaged { offset, what } => LogError::Damaged { path: path.to_owned(), offset, what },
        }
    }
}

/// The frames of a segment, one after the other, from a file or from memory.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    reader: R,
    pub(crate) header: Header,
    key: [u8; 32],
    /// Records that were read, so also the next one's sequence number.
    pub(crate) read: u64,
    ended: bool,
    /// Bytes of the torn tail, once the end was reached.
    pub(crate) torn_bytes: u64,
}

impl Frames<BufReader<File>> {
    /// Those of the file, whose header must be that of segment `number` of `owner`.
    pub(crate) fn of_file(path: &Path, owner: &Owner, number: u64) -> Result<Self, LogError> {
        let file = File::open(path).map_err(durable::failed("open", path))?;
        let frames = Self::new(BufReader::with_capacity(1 << 20, file))
            .map_err(durable::failed("read", path))?
            .map_err(|fault| fault.of(path))?;
        frames.header.expect(owner, number, path)?;
        Ok(frames)
    }
}

impl<R: Read> Frames<R> {
    /// Reads the header.
    pub(crate) fn new(mut reader: R) -> io::Result<Result<Self, HeaderFault>> {
        let mut bytes = [0; FRAME];
        if read_up_to(&mut reader, &mut bytes)? < FRAME {
            return Ok(Err(HeaderFault::Damaged));
        }
        let key = frame_key(&bytes);
        let frames = |header| Self { reader, header, key, read: 0, ended: false, torn_bytes: 0 };
        Ok(Header::decode(&bytes).map(frames))
    }

    /// The next record; `None` at the end, and after it.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, FrameFault> {
        if self.ended {
            return Ok(None);
        }
        let sequence = self.read;
        let bytes = match self.slot(sequence)? {
            Slot::Frame { record, .. } => record,
            torn => {
                self.tail(torn)?;
                return Ok(None);
            }
        };
        let record =
            Record::decode(&bytes).ok_or_else(|| damaged(sequence, "its record has no known form"))?;
        self.read += 1;
        Ok(Some(record))
    }

    /// Reads what comes behind the last whole record, of which `slot` is the first.
    fn tail(&mut self, mut slot: Slot) -> Result<(), FrameFault> {
        self.ended = true;
        let kept = self.read;
        if kept < self.header.snapshot {
            return Err(damaged(kept, "the snapshot that the segment begins with is not whole"));
        }
        let mut torn_end = offset(kept);
        for sequence in kept.. {
            match slot {
                Slot::End { bytes: 0 } => break,
                Slot::End { bytes } => {
                    torn_end = offset(sequence) + bytes;
                    break;
                }
                // Of the same flush as the hole it may have reached the disk first; of a later one it proves that the hole
                // had been flushed.
                Slot::Frame { batch, .. } if batch > kept => {
                    return Err(damaged(kept, "it is missing although later ones are there"));
                }
                Slot::Frame { .. } | Slot::Hole { written: true } => torn_end = offset(sequence + 1),
                Slot::Hole { written: false } => {}
            }
            slot = self.slot(sequence + 1)?;
        }
        self.torn_bytes = torn_end - offset(kept);
        Ok(())
    }

    /// What stands in the place of frame `sequence`, which comes next in the file.
    fn slot(&mut self, sequence: u64) -> Result<Slot, FrameFault> {
        let mut frame = [0; FRAME];
        let read = read_up_to(&mut self.reader, &mut frame).map_err(FrameFault::Read)?;
        if read < FRAME {
            return Ok(Slot::End { bytes: read as u64 });
        }
        let (body, check) = frame.split_last_chunk::<CHECKSUM>().expect("a frame is longer than a checksum");
        if *check == [0; CHECKSUM] {
            return Ok(Slot::Hole { written: body.iter().any(|byte| *byte != 0) });
        }
        if checksum(&self.key, body) != *check {
            return Err(damaged(sequence, "its checksum is wrong"));
        }
        let mut fields = Fields(body);
        let (Some(found), Some(batch), Some(record)) = (fields.u64(), fields.u64(), fields.bytes()) else {
            unreachable!("a body is two numbers and a record");
        };
        if found != sequence || batch > sequence {
            return Err(damaged(sequence, "it is the frame of another place"));
        }
        Ok(Slot::Frame { batch, record })
    }
}

/// What stands in a frame's place.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box for each frame would cost more"
)]
enum Slot {
    /// The file has ended; of the frame so many bytes are there.
    End {
        bytes: u64,
    },
    /// Its checksum was not written.
    Hole {
        written: bool,
    },
    Frame {
        batch: u64,
        record: [u8; RECORD],
    },
}

fn damaged(sequence: u64, what: &'static str) -> FrameFault {
    FrameFault::Damaged { offset: offset(sequence), what }
}

/// A segment that is open for writing. It does not lock the file: the directory's owner does.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    pub(crate) header: Header,
    key: [u8; 32],
    file: File,
    /// Frames in the file, so also the next frame's sequence number.
    frames: u64,
    /// Where the zeros end that were written ahead, or the frames when there are none.
    reserved: u64,
    /// Keeps its space between batches.
    buffer: Vec<u8>,
}

/// Why the next segment was not begun.
#[derive(Debug)]
pub(crate) struct BeginError {
    pub(crate) source: FileError,
    /// The next segment is not there, so writing may go on in this one.
    pub(crate) intact: bool,
}

impl Log {
    /// Begins a segment with the records of a snapshot, durably and as a whole.
    pub(crate) fn begin(path: PathBuf, header: Header, snapshot: &[Record]) -> Result<Self, BeginError> {
        let bytes = header.encode();
        let key = frame_key(&bytes);
        let frames = (0..).zip(snapshot).map(|(sequence, record)| {
            let mut frame = Vec::with_capacity(FRAME);
            // A batch each: all are flushed before the file gets its name.
            put_frame(&mut frame, &key, sequence, sequence, record);
            frame
        });
        let file = durable::draft(&path, std::iter::once(bytes.to_vec()).chain(frames))
            .map_err(|source| BeginError { source, intact: true })?;
        durable::adopt_draft(&path).map_err(|source| BeginError { source, intact: false })?;
        let frames = header.snapshot;
        Ok(Self { path, header, key, file, frames, reserved: offset(frames), buffer: Vec::new() })
    }

    /// Goes on with a segment that was read to its end. A torn tail is cut off.
    pub(crate) fn resume<R>(path: PathBuf, read: &Frames<R>) -> Result<Self, FileError> {
        let mut file = OpenOptions::new().write(true).open(&path).map_err(durable::failed("open", &path))?;
        let kept = offset(read.read);
        let mut cut = || {
            if file.metadata()?.len() > kept {
                file.set_len(kept)?;
                file.sync_all()?;
            }
            file.seek(SeekFrom::Start(kept)).map(drop)
        };
        cut().map_err(durable::failed("cut the tail of", &path))?;
        let Frames { header, key, read: frames, .. } = *read;
        Ok(Self { path, header, key, file, frames, reserved: kept, buffer: Vec::new() })
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
        let end = SeekFrom::Start(offset(frames));
        let placed = if lengthen { written.and_then(|()| self.file.seek(end).map(drop)) } else { written };
        placed.map_err(durable::failed("append to", &self.path))
    }

    /// Begins the next segment at `path`. This one is whole and durable; what was written ahead is given back.
    pub(crate) fn next(&self, path: PathBuf, snapshot: &[Record]) -> Result<Self, BeginError> {
        let header = Header {
            number: self.header.number + 1,
            frames_before: self.frames,
            snapshot: snapshot.len() as u64,
            ..self.header
        };
        let next = Self::begin(path, header, snapshot)?;
        // The zeros do no harm where they are.
        let _ = self.file.set_len(offset(self.frames));
        Ok(next)
    }
}

/// Where the frame begins in the file, after the header.
pub(crate) fn offset(sequence: u64) -> u64 {
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
