"""FreeBSD machines for the lab, from an image that the FreeBSD project publishes (BASIC-CLOUDINIT)."""
