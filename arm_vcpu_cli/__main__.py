"""``python -m arm_vcpu_cli``: the same as the ``armvcpu`` command."""

from arm_vcpu_cli.cli.main import main

if __name__ == "__main__":
    main()
