"""A real virtual machine for the demonstration: QEMU without KVM, a guest made of Debian packages alone."""
