"""What every training process needs, imported once in the forkserver: a child then starts in milliseconds."""

import safetensors.torch
import torch
import torch._dynamo

import worker.engine.batch_size
import worker.engine.data.importing
import worker.engine.lr_find
import worker.engine.models.transfer
import worker.engine.sanity
import worker.engine.train
import worker.engine.tune
import worker.engine.tune_runner

__all__ = ["safetensors", "torch", "worker"]
