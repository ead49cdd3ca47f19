"""Stage ``audit``: verdicts, spectrum and fingerprint of an equilibrium run's checkpoint."""

from specseq.equilibrium.fingerprint import AuditRequest, audit_checkpoint
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(AuditRequest, audit_checkpoint, __doc__)
