/* Whether UDP_SEGMENT and UDP_GRO tell the truth on this kernel.
 *
 * Some kernels accept UDP_SEGMENT and send something else. The only proof is to look, once, at start. What fails later
 * is the sender's business (trunk_end.pyx).
 */
#ifndef FR_IO_OFFLOAD_H
#define FR_IO_OFFLOAD_H

/* Sends three datagrams by one UDP_SEGMENT call over a loopback pair of sockets and looks at what arrives, once with
 * UDP_GRO at the receiver and once without. 1 = works, 0 = it does not, -errno = could not be tried. */
int fr_offload_works(int family);

#endif
