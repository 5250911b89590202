//! Times loading a checkpoint into a network: `load_time FILE [RUNS]`.
//!
//! Prints one line per run with two times in milliseconds. The first is for opening the file and filling an
//! existing network, as PyTorch does in `torch.load(mmap=True)` and `load_state_dict`. The second is for opening
//! the file, building the network and filling it. `scripts/bench/load-checkpoint` compares the first with PyTorch.

use std::error::Error;
use std::time::Instant;

use effnet_checkpoint::Checkpoint;
use effnet_core::{EfficientNet, EfficientNetNames, LoadOptions, Variant};
use tch::{Device, nn};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: load_time FILE [RUNS]")?;
    let runs = arguments.next().map_or(Ok(1), |runs| runs.parse())?;

    let checkpoint = Checkpoint::open(&path)?;
    let signature = checkpoint.state_dict().signature()?;
    let config = Variant::recognise(&signature)
        .ok_or("FILE does not match any published variant")?
        .config();
    let store = nn::VarStore::new(Device::Cpu);
    let mut network = EfficientNet::new(&store.root(), &config)?;

    for _ in 0..runs {
        let start = Instant::now();
        let checkpoint = Checkpoint::open(&path)?;
        network.load(checkpoint.state_dict(), LoadOptions::default())?;
        let fill = start.elapsed().as_secs_f64() * 1e3;

        let start = Instant::now();
        let store = nn::VarStore::new(Device::Cpu);
        let checkpoint = Checkpoint::open(&path)?;
        let options = LoadOptions::default();
        EfficientNet::from_state_dict(&store.root(), &config, checkpoint.state_dict(), options)?;
        let build = start.elapsed().as_secs_f64() * 1e3;
        println!("{fill:.1} {build:.1}");
    }
    Ok(())
}
