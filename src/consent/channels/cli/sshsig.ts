import { CountersignError } from "../../../errors.ts";
import { fingerprintOf } from "./ssh-key.ts";

const ARMOUR = /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?$/;

/**
 * Fingerprint of the key inside an armoured SSHSIG (OpenSSH PROTOCOL.sshsig). Says whose key it claims to be from;
 * whether it verifies is the desk's business.
 * @throws CountersignError `SIGNATURE_INVALID`
 */
export function sshsigFingerprint(armoured: string): string {
  const body = ARMOUR.exec(armoured.replaceAll("\r\n", "\n"))?.[1];
  const blob = Buffer.from(body ?? "", "base64");
  if (blob.length < 14 || blob.toString("latin1", 0, 6) !== "SSHSIG" || blob.readUInt32BE(6) !== 1) {
    throw new CountersignError("SIGNATURE_INVALID", "this is not an SSH signature of version 1", {
      hint: "hand in what `ssh-keygen -Y sign` wrote: a file that begins with -----BEGIN SSH SIGNATURE-----",
    });
  }
  const length = blob.readUInt32BE(10);
  if (length === 0 || 14 + length > blob.length) {
    throw new CountersignError("SIGNATURE_INVALID", "the SSH signature is cut off");
  }
  return fingerprintOf(blob.subarray(14, 14 + length));
}
