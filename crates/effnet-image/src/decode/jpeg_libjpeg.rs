//! JPEG decoded by libjpeg itself, for files that are damaged or unusual.
//!
//! No standard says what a damaged JPEG looks like: it looks as libjpeg shows it, down to the order in which
//! libjpeg skips bytes and gives up on blocks. Pillow shows libjpeg's result, so this module runs libjpeg's
//! own C code (the copy in `mozjpeg-sys`) as Pillow's `JpegDecode.c` does. Sound files never come here: a
//! faster decoder in Rust reads them.

use std::any::Any;
use std::os::raw::{c_int, c_long};
use std::panic::{self, AssertUnwindSafe};
use std::{mem, ptr};

use mozjpeg_sys as c;

use super::jpeg_header::JpegHeader;
use super::jpeg_idct;
use crate::error::Fault;

/// The number of bytes that Pillow passes to libjpeg at a time. Where a file is cut into pieces affects what
/// libjpeg sees.
const PIECE: usize = 65_536;

/// libjpeg's pixels (grey, RGB or CMYK), and its first warning.
pub(super) struct Decoded {
    pub(super) pixels: Vec<u8>,
    pub(super) warning: Option<String>,
}

/// A fatal error in libjpeg, which unwinds through its C code.
struct Failed(String);

/// The state that the callbacks share with [`Decompressor::run`] through libjpeg's `client_data`.
struct Shared {
    source: c::jpeg_source_mgr,
    error: c::jpeg_error_mgr,
    progress: c::jpeg_progress_mgr,
    /// The number of bytes still to be skipped beyond the current piece.
    skip: usize,
    max_scans: usize,
    warning: Option<String>,
}

/// Decodes a file whose header has been read and admitted.
pub(super) fn decode(bytes: &[u8], header: &JpegHeader) -> Result<Decoded, Fault> {
    let mut decompressor = Decompressor::new(header.max_scans());
    let run = AssertUnwindSafe(|| decompressor.run(bytes, header));
    let pixels = panic::catch_unwind(run).unwrap_or_else(|panic| Err(explain(panic)))?;
    Ok(Decoded {
        pixels,
        warning: decompressor.shared.warning.take(),
    })
}

fn explain(panic: Box<dyn Any + Send>) -> Fault {
    match panic.downcast::<Failed>() {
        Ok(failed) => Fault::malformed(failed.0),
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// libjpeg's state, which is destroyed when this is dropped. Both parts are boxed because they point to each
/// other.
struct Decompressor {
    info: Box<c::jpeg_decompress_struct>,
    shared: Box<Shared>,
}

impl Decompressor {
    fn new(max_scans: usize) -> Self {
        // SAFETY: these are C structures of numbers, pointers and optional function pointers, which libjpeg expects
        // to be zero where they are not set.
        let (info, source, error, progress) =
            unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut made = Self {
            info: Box::new(info),
            shared: Box::new(Shared {
                source,
                error,
                progress,
                skip: 0,
                max_scans,
                warning: None,
            }),
        };
        let shared = &raw mut *made.shared;
        // SAFETY: `shared` lives as long as `info`, and libjpeg uses both only in calls made by this type.
        unsafe {
            made.info.common.err = c::jpeg_std_error(&mut (*shared).error);
            (*shared).error.error_exit = Some(fail);
            (*shared).error.emit_message = Some(note);
            c::jpeg_create_decompress(&raw mut *made.info);
        }
        made.info.common.client_data = shared.cast();
        made.shared.source = c::jpeg_source_mgr {
            next_input_byte: ptr::null(),
            bytes_in_buffer: 0,
            init_source: Some(nothing),
            fill_input_buffer: Some(suspend),
            skip_input_data: Some(skip),
            resync_to_restart: Some(c::jpeg_resync_to_restart),
            term_source: Some(nothing),
        };
        made.shared.progress.progress_monitor = Some(count_scans);
        made.info.src = &raw mut made.shared.source;
        made.info.common.progress = &raw mut made.shared.progress;
        made
    }

    /// Decodes the file piece by piece, as Pillow feeds it.
    fn run(&mut self, bytes: &[u8], header: &JpegHeader) -> Result<Vec<u8>, Fault> {
        let (mut start, mut end) = (0, 0);
        let mut step = Step::Header;
        let mut pixels = Vec::new();
        loop {
            if end == bytes.len() {
                return Err(Fault::truncated("the data ends before the image"));
            }
            end = bytes.len().min(end + PIECE);
            let piece = &bytes[start..end];
            let skipped = piece.len().min(self.shared.skip);
            self.shared.skip -= skipped;
            self.shared.source.next_input_byte = piece[skipped..].as_ptr();
            self.shared.source.bytes_in_buffer = piece.len() - skipped;
            if self.shared.skip == 0 && self.advance(&mut step, header, &mut pixels)? {
                return Ok(pixels);
            }
            start = end - self.shared.source.bytes_in_buffer;
        }
    }

    /// Continues until the data run out, and returns whether the image is complete.
    fn advance(&mut self, step: &mut Step, header: &JpegHeader, pixels: &mut Vec<u8>) -> Result<bool, Fault> {
        let info = &mut *self.info;
        if *step == Step::Header {
            let mut found = HEADER_TABLES_ONLY;
            while found == HEADER_TABLES_ONLY {
                // SAFETY: the source holds a piece of the file, here and in the calls below.
                found = unsafe { c::jpeg_read_header(info, 0) };
            }
            if found == HEADER_SUSPENDED {
                return Ok(false);
            }
            info.out_color_space = header.output()?;
            *step = Step::Scans;
        }
        if *step == Step::Scans {
            // SAFETY: as above; the header has been read.
            if unsafe { c::jpeg_start_decompress(info) } == 0 {
                return Ok(false);
            }
            let size = (info.output_width as usize, info.output_height as usize);
            let channels = header.components.len();
            if size != (header.width, header.height) || info.output_components as usize != channels {
                return Err(Fault::malformed("contradictory frame headers"));
            }
            // SAFETY: decompression has just started, without scaling.
            unsafe { jpeg_idct::install(info) };
            *pixels = vec![0; size.0 * size.1 * channels];
            *step = Step::Rows;
        }
        let stride = header.width * header.components.len();
        while let Some(row) = pixels.chunks_exact_mut(stride).nth(info.output_scanline as usize) {
            let mut row = row.as_mut_ptr();
            // SAFETY: the row has `output_width * output_components` bytes, checked above.
            if unsafe { c::jpeg_read_scanlines(info, &raw mut row, 1) } != 1 {
                return Ok(false);
            }
        }
        // SAFETY: all rows have been read. Like Pillow, this does not insist on an end marker.
        unsafe { c::jpeg_finish_decompress(info) };
        Ok(true)
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: created in `new`, and destroyed only here.
        unsafe { c::jpeg_destroy_decompress(&mut self.info) };
    }
}

const HEADER_SUSPENDED: c_int = 0;
const HEADER_TABLES_ONLY: c_int = 2;

#[derive(PartialEq, Eq)]
enum Step {
    Header,
    Scans,
    Rows,
}

impl JpegHeader {
    /// Returns the colour space that Pillow requests from libjpeg.
    fn output(&self) -> Result<c::J_COLOR_SPACE, Fault> {
        match self.components.len() {
            1 => Ok(c::JCS_GRAYSCALE),
            3 => Ok(c::JCS_RGB),
            4 => Ok(c::JCS_CMYK),
            count => Err(Fault::unsupported(format_args!("{count} colour channels"))),
        }
    }
}

/// Returns the text of the message that libjpeg has just set.
fn message(info: &mut c::jpeg_common_struct) -> String {
    type Format = unsafe extern "C-unwind" fn(*mut c::jpeg_common_struct, *mut u8);
    let mut text = [0_u8; 80];
    // SAFETY: `err` was set in `Decompressor::new`. `format_message` writes at most 80 bytes into its second argument,
    // which the binding declares as immutable.
    unsafe {
        if let Some(format) = (*info.err).format_message {
            let format: Format = mem::transmute(format);
            format(info, text.as_mut_ptr());
        }
    }
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = String::from_utf8_lossy(&text[..length]);
    text.strip_prefix("Corrupt JPEG data: ")
        .unwrap_or(&text)
        .to_owned()
}

/// libjpeg's `error_exit`, which must not return.
unsafe extern "C-unwind" fn fail(info: &mut c::jpeg_common_struct) {
    let message = message(info);
    // This bypasses the panic hook, which would print a message.
    panic::resume_unwind(Box::new(Failed(message)))
}

/// libjpeg's `emit_message`: keeps the first warning.
unsafe extern "C-unwind" fn note(info: &mut c::jpeg_common_struct, level: c_int) {
    if level >= 0 {
        return;
    }
    // SAFETY: set in `Decompressor::new`. libjpeg holds the only other pointers, and does not run in the
    // meantime.
    unsafe {
        (*info.err).num_warnings += 1;
        let shared = info.client_data.cast::<Shared>();
        if (*shared).warning.is_none() {
            (*shared).warning = Some(message(info));
        }
    }
}

/// libjpeg's `progress_monitor`, called at least once per scan. Limits the time by the number of pixels.
unsafe extern "C-unwind" fn count_scans(info: &mut c::jpeg_common_struct) {
    let info = &raw mut *info;
    // SAFETY: the common part is the start of a decompress structure, and `client_data` is ours.
    let (scans, most) = unsafe {
        let info = &*info.cast::<c::jpeg_decompress_struct>();
        let shared = info.common.client_data.cast::<Shared>();
        (info.input_scan_number, (*shared).max_scans)
    };
    if usize::try_from(scans).unwrap_or(0) > most {
        panic::resume_unwind(Box::new(Failed(JpegHeader::too_many_scans(most))))
    }
}

unsafe extern "C-unwind" fn nothing(_: &mut c::jpeg_decompress_struct) {}

/// libjpeg's `fill_input_buffer`: asks the caller for the next piece.
unsafe extern "C-unwind" fn suspend(_: &mut c::jpeg_decompress_struct) -> c::boolean {
    0
}

/// libjpeg's `skip_input_data`: bytes beyond the piece are skipped when they arrive.
unsafe extern "C-unwind" fn skip(info: &mut c::jpeg_decompress_struct, count: c_long) {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: set in `Decompressor::new`; the pointer stays within the piece.
    unsafe {
        let shared = info.common.client_data.cast::<Shared>();
        let source = &mut (*shared).source;
        let within = count.min(source.bytes_in_buffer);
        source.next_input_byte = source.next_input_byte.add(within);
        source.bytes_in_buffer -= within;
        (*shared).skip = count - within;
    }
}
