//! Plays a URL on the system's sound device.
//!
//!     cargo run --release --features device --example cpal -- URL

use std::{env, error::Error, sync::mpsc};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use kithara::{
    blocking,
    sound::{DecodeOptions, FillState, Output, PcmSpec},
};

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: cpal URL")?;
    let device = cpal::default_host().default_output_device().ok_or("there is no sound device")?;
    let config = device.default_output_config()?.config();
    // The device has one format; whatever the stream has is mixed and resampled to it.
    let spec = PcmSpec { sample_rate: config.sample_rate, channels: config.channels };
    let sound = DecodeOptions { output: Output::Fixed(spec), ..DecodeOptions::default() };
    let (_player, mut reader) = blocking::listen(&url, sound)?;

    let (done, over) = mpsc::channel::<Result<(), cpal::Error>>();
    let failed = done.clone();
    let mut done = Some(done);
    let stream = device.build_output_stream(
        config,
        // Called on the thread of the device: `fill` never blocks, locks or allocates.
        move |out: &mut [f32], _: &cpal::OutputCallbackInfo| {
            let fill = reader.fill(out);
            if fill.samples == 0 && matches!(fill.state, FillState::Ended | FillState::Failed) {
                // The one call that may: everything was heard.
                let _ = done.take().map(|done| done.send(Ok(())));
            }
        },
        move |error| match error.kind() {
            cpal::ErrorKind::Xrun | cpal::ErrorKind::DeviceChanged | cpal::ErrorKind::RealtimeDenied => {}
            _ => drop(failed.send(Err(error))),
        },
        None,
    )?;
    stream.play()?;
    Ok(over.recv()??)
}
