"""What `verisight.data.media` is made of: opening, sniffing, Pillow, FFmpeg. Nobody else decodes a file."""
