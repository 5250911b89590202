//! Measures the latency of a network with random weights: `latency VARIANT BATCH SIZE RUNS [fp32|bf16|auto]
//! [fused|plain]` prints the median and the 10th and 90th percentiles in milliseconds.
//!
//! With `EFFNET_SERVE` set, it instead runs one forward pass per line of standard input and answers each line
//! with the milliseconds taken, so that a driver can alternate between programs. `EFFNET_WEIGHTS`, a
//! weight file in any naming scheme with the arithmetic of TensorFlow, and `EFFNET_INPUT` and `EFFNET_OUTPUT`, tensors as raw little-endian floats, let the
//! driver check the result first.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;
use std::{env, fs};

use effnet::Backend as _;
use effnet::EfficientNetNames as _;
use effnet_checkpoint::Checkpoint;
use effnet_core::{EfficientNet, LoadOptions, Variant};
use effnet_torch::{Engine, EngineOptions, Precision};
use tch::{Device, Kind, Tensor, nn};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [variant, batch, size, runs, rest @ ..] = arguments.as_slice() else {
        return Err("usage: latency VARIANT BATCH SIZE RUNS [fp32|bf16|auto] [fused|plain]".into());
    };
    let (batch, size, runs): (i64, i64, usize) = (batch.parse()?, size.parse()?, runs.parse()?);
    let precision = match rest.first().map_or("fp32", String::as_str) {
        "fp32" => Precision::Fp32,
        "bf16" => Precision::Bf16,
        "auto" => Precision::Auto,
        other => return Err(format!("unknown precision {other}").into()),
    };
    let plain = rest.get(1).is_some_and(|engine| engine == "plain");
    let threads = env::var("EFFNET_THREADS").map_or(Ok(2), |threads| threads.parse())?;
    tch::set_num_threads(threads);

    let store = nn::VarStore::new(Device::Cpu);
    let config = variant.parse::<Variant>()?.config();
    let network = match env::var("EFFNET_WEIGHTS") {
        Ok(weights) => {
            let tensors = Checkpoint::open(weights)?.into_state_dict().to_canonical()?;
            EfficientNet::from_state_dict(&store.root(), &config, &tensors, LoadOptions::default())?
        }
        Err(_) => EfficientNet::new(&store.root(), &config)?,
    };
    let images = match env::var("EFFNET_INPUT") {
        Ok(path) => Tensor::from_data_size(&fs::read(path)?, &[batch, 3, size, size], Kind::Float),
        Err(_) => Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu)),
    };
    let threads = usize::try_from(threads)?;
    let engine = Engine::new(
        &network,
        EngineOptions::default()
            .with_precision(precision)
            .with_threads(threads),
    )?;
    let forward = || -> Result<Tensor, Box<dyn Error>> {
        if plain {
            Ok(tch::no_grad(|| network.forward(&images, false))?)
        } else {
            Ok(engine.run(&images)?)
        }
    };
    let timed = || -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        let _ = forward()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };

    let logits = forward()?;
    if let Ok(path) = env::var("EFFNET_OUTPUT") {
        let values: Vec<f32> = logits.flatten(0, -1).try_into()?;
        fs::write(
            path,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect::<Vec<u8>>(),
        )?;
    }
    if env::var_os("EFFNET_SERVE").is_some() {
        println!(
            "ready {}",
            if plain {
                "plain".to_owned()
            } else {
                engine.kernels()
            }
        );
        for line in std::io::stdin().lock().lines() {
            line?;
            println!("{}", timed()?);
        }
        return Ok(());
    }
    for _ in 0..runs.min(5) {
        timed()?;
    }
    let mut times = (0..runs.max(1)).map(|_| timed()).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile).round() as usize];
    let name = if plain {
        "plain".to_owned()
    } else {
        engine.kernels()
    };
    println!(
        "{variant} batch {batch} size {size} {} {name}: median {:.2} ms, p10 {:.2}, p90 {:.2}",
        engine.precision(),
        at(0.5),
        at(0.1),
        at(0.9)
    );
    Ok(())
}
