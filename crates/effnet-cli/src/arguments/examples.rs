//! The examples at the end of each command's help.
//!
//! A first-time user copies one of these instead of assembling a command line from thirty flags. Lines stay
//! below 80 columns, so that clap does not wrap them.

pub(super) const EFFNET: &str = "\
Example:
  effnet classify photo.jpg --model b3";

pub(super) const CLASSIFY: &str = "\
Examples:
  # Classify an image with the published B3 weights
  effnet classify photo.jpg --model b3
  # Classify a folder with your own weights, into a CSV file
  effnet classify photos/ --weights my-run --format csv --output results.csv
  # Read the paths from standard input, report the best class of each image
  find . -name '*.jpg' | effnet classify - --top-k 1";

pub(super) const FINETUNE: &str = "\
Examples:
  # Fine-tune the published B0 weights: 20 % held out, early stopping
  effnet finetune my-photos --output my-run
  # Start from other weights, average the weights, train longer
  effnet finetune my-photos --model b3.advprop --ema 0.999 --epochs 30
  # Resume an interrupted run
  effnet finetune --resume my-run";

pub(super) const TRAIN: &str = "\
Examples:
  # Train B0 on ImageNet with the paper's recipe
  effnet train imagenet --recipe paper --output my-run
  # Train on a small data set, with a learning rate found by a range test
  effnet train my-photos --recipe small --lr auto
  # Train with two processes
  torchrun --no-python --nproc-per-node 2 effnet train imagenet --output my-run";

pub(super) const EVALUATE: &str = "\
Examples:
  # Evaluate a run on the images that it held out for validation
  effnet evaluate my-photos --weights my-run
  # Evaluate published weights and draw the confusion matrix
  effnet evaluate imagenet/val --model b3 --confusion-png confusion.png";

pub(super) const REPORT: &str = "\
Examples:
  # Write report.html and mistakes.html into the run folder
  effnet report my-run
  # Compute on the CPU
  effnet report my-run --device cpu";

pub(super) const RUNS: &str = "\
Examples:
  # Compare the runs below runs/, the best first
  effnet runs
  # Compare some runs in a spreadsheet
  effnet runs my-run my-run-2 --format csv > runs.csv";

pub(super) const CHECK: &str = "\
Examples:
  # Look for wrong labels, duplicates and damaged files before training
  effnet check my-photos --model b0
  # Show the images found on a web page
  effnet check my-photos --model b0 --html check.html";

pub(super) const FEATURES: &str = "\
Examples:
  # Write one JSON object per image
  effnet features photos/ --model b3 --output features.jsonl
  # Write CSV, with your own weights
  effnet features photos/ --weights my-run --format csv --output features.csv
  # Write a NumPy array, which is also an index for similarity search
  effnet features photos/ --normalize --output features.npy";

pub(super) const SIMILAR: &str = "\
Examples:
  # Find the 5 images in a folder that are most similar to one image
  effnet similar photo.jpg --index photos/
  # Search an index file, and draw a contact sheet of the 10 most similar images
  effnet similar photo.jpg --index features.npy -k 10 --output sheet.png";

pub(super) const EXPLAIN: &str = "\
Examples:
  # Draw a heat map of the most likely class over the image: explained/photo.png
  effnet explain photo.jpg --model b3
  # Compare the three most likely classes, side by side
  effnet explain photo.jpg --model b3 --top-k 3 --output why.png
  # Which parts support another class? Measured by hiding them
  effnet explain photos/ --weights my-run --class cat --method occlusion";

pub(super) const INSPECT: &str = "\
Examples:
  effnet inspect model.pth
  effnet inspect b3.advprop --format json";

pub(super) const CONVERT: &str = "\
Examples:
  # Convert a PyTorch checkpoint to safetensors
  effnet convert model.pth model.safetensors
  # Give a run's best weights timm's parameter names, in half precision
  effnet convert my-run/best.safetensors timm.safetensors --to timm --dtype f16
  # Write a folder that transformers.pipeline(\"image-classification\") opens
  effnet convert b0.imagenet my-model --to transformers
  # Take the EMA weights out of a training checkpoint
  effnet convert checkpoint.pth.tar ema.safetensors --key state_dict_ema";

pub(super) const AVERAGE: &str = "\
Examples:
  # Average three runs that were fine-tuned from the same weights
  effnet average run-1 run-2 run-3 --output run-1/average.safetensors
  # Evaluate the average on the images that the first run held out
  effnet evaluate my-photos --weights run-1/average.safetensors";

pub(super) const EXPORT: &str = "\
Examples:
  # Export the published B3 weights, and compare the file with effnet
  effnet export b3 b3.onnx --check
  # Export a run's best weights: images of any size in, probabilities out
  effnet export my-run my-run.onnx --with-preprocessing --softmax
  # Export your own weights as a feature extractor, in half precision
  effnet export model.pth features.onnx --features --dtype f16";

pub(super) const SERVE: &str = "\
Examples:
  # Serve the default network; open the printed address in a browser
  effnet serve
  # Serve two networks to other machines, which must send a key
  effnet serve --weights b0.imagenet --weights birds=my-run --host 0.0.0.0 --api-key-file keys.txt";

pub(super) const MODELS: &str = "\
Examples:
  effnet models
  effnet models --all --format json";

pub(super) const DOWNLOAD: &str = "\
Examples:
  effnet download b0 b3.advprop
  effnet download --all-of b0";

pub(super) const CACHE: &str = "\
Examples:
  effnet cache list
  effnet cache verify
  effnet cache prune --unknown --dry-run";

pub(super) const BENCH: &str = "\
Examples:
  # Time single images, then batches of 16 in bf16
  effnet bench --model b0
  effnet bench --model b0 --batch-size 16 --precision bf16
  # Show where the time goes
  effnet bench --weights my-run --profile-layers";

pub(super) const ENV: &str = "\
Examples:
  effnet env
  effnet env --format json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  effnet completions bash > ~/.local/share/bash-completion/completions/effnet
  effnet completions zsh > ~/.zfunc/_effnet
  effnet completions fish > ~/.config/fish/completions/effnet.fish";

pub(super) const MAN: &str = "\
Examples:
  effnet man > effnet.1
  effnet man --output ~/.local/share/man/man1";
