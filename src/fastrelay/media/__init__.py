"""Audio between the network and an agent: order, pace, Opus and PCM, files. No sockets."""
