"""Weights of networks that clients bring."""
