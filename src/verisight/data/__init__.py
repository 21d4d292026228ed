"""From files to tensors: media, faces, manifests, loaders."""
