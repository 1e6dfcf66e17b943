"""make demo: image, machines, collection, playbook, proof. Ends 0 only when the proof holds."""

from __future__ import annotations

import argparse
import sys

from lab.deployment import DEFAULT_PROFILE, Deployment, DeploymentError
from lab.gateway import GatewayError
from lab.image.build import ImageError, build_image, find_image
from lab.internet.client import InternetError
from lab.lab import DEMO_DIRECTORY, IMAGES, Lab
from lab.machine import MachineError
from lab.proof import ALGORITHMS, Proof
from lab.steps import Steps


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m lab.demo", description="Two sites, one tunnel, and its proof.")
    parser.add_argument("--profile", default=DEFAULT_PROFILE, choices=sorted(ALGORITHMS))
    arguments = parser.parse_args()
    try:
        return demo(Lab(DEMO_DIRECTORY), arguments.profile)
    except (ImageError, MachineError, InternetError, DeploymentError, GatewayError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1


def demo(lab: Lab, profile: str) -> int:
    """Run all steps on `lab` and leave it running: the exit code."""
    steps = Steps()
    deployment = Deployment(lab, profile)
    with steps.step("Debian image for the machines"):
        image = find_image(IMAGES)
        print("   there already" if image else "   mmdebstrap, about a minute", flush=True)
        image = image or build_image(IMAGES)
    with steps.step(f"machines: {', '.join(site.name for site in lab.sites)}"):
        for name, is_new in lab.up(image).items():
            print(f"   {name}: {'booted' if is_new else 'runs already'}")
    with steps.step("collection: built, installed into build/collections"):
        deployment.install_collection()
    with steps.step(f"ansible-playbook tanuki.ipsec.site, profile {profile}"):
        deployment.play("tanuki.ipsec.site")
    with steps.step("proof"):
        proof = Proof(lab, profile)
        holds = proof.run()
    print(f"\n== how long it took\n{steps.summary()}")
    if not holds:
        print("\nThe proof FAILS:\n" + "\n".join(f"  {failure}" for failure in proof.failures))
        return 1
    print("\nThe proof holds: the tunnel is up, and it stays. Log in, or take it all down:")
    for site in lab.sites:
        print(f"  ssh -F build/lab/ssh_config {site.name:14} # the gateway, {site.outside.ip}")
        print(f"  ssh -F build/lab/ssh_config {site.name + '-client':14} # its LAN client, {site.client.ip}")
    print("  make demo-down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
