"""Certificates that hirundo-admin would never make."""
import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

URN = "urn:hirundo:sensor:"
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def write_key(path: pathlib.Path, key) -> pathlib.Path:
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))
    path.chmod(0o600)
    return path


class Authority:
    """The CA of an installation, or, where its folder has none, another one."""

    def __init__(self, folder: pathlib.Path):
        self.cert_file = folder / "ca.crt"
        if self.cert_file.exists():
            self.key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
            self.cert = x509.load_pem_x509_certificate(self.cert_file.read_bytes())
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._sign(_name("Another CA"), self.key, _name("Another CA"), -3600, 86400,
                               [(x509.BasicConstraints(True, None), True)])
        self.cert_file.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        write_key(folder / "ca.key", self.key)

    def _sign(self, subject, key, issuer, start_s: float, end_s: float, extensions) -> x509.Certificate:
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(seconds=start_s))
                   .not_valid_after(now + datetime.timedelta(seconds=end_s)))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, folder: pathlib.Path, uris=(), hosts=(), usage=CLIENT, start_s: float = -3600,
              end_s: float = 86400) -> tuple[pathlib.Path, pathlib.Path]:
        """Certificate and key, as files of a new folder. Times are from now on."""
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [_host(host) for host in hosts]
        extensions = [(x509.BasicConstraints(False, None), True)]
        if usage:
            extensions.append((x509.ExtendedKeyUsage([usage]), False))
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        cert = self._sign(_name("test"), key, self.cert.subject, start_s, end_s, extensions)
        (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return folder / "cert.pem", write_key(folder / "key.pem", key)
